/** Types for modules of `@std/text`, which come from npm as plain JavaScript. Only what `src/cli` uses. */

/** The one of `words` with the least Levenshtein distance to `word`. Throws TypeError when there are none. */
export function closestString(word: string, words: readonly string[]): string;

/** How many characters to put in, take out or replace on the way from one word to the other. */
export function levenshteinDistance(one: string, other: string): number;
