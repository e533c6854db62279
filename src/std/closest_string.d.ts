/** Types for `@std/text/closest-string`, which comes from npm as plain JavaScript. Only what `src/cli` uses. */

/** The one of `words` with the least Levenshtein distance to `word`. Throws TypeError when there are none. */
export function closestString(word: string, words: readonly string[]): string;
