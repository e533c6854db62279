/** Types for `@std/jsonc/parse`, which comes from npm as plain JavaScript. Only what `src/cli` uses. */

/** The value of JSON with comments and trailing commas. Throws SyntaxError. */
export function parse(text: string): unknown;
