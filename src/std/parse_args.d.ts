/** Types for `@std/cli/parse-args`, which comes from npm as plain JavaScript. Only what `src/cli` uses. */

/** How to split. */
export interface ParseArgsOptions {
  /** Flags that take a value; `"_"` keeps operands from becoming numbers. */
  readonly string: readonly string[];
  /** Flags that take none. */
  readonly boolean: readonly string[];
  /** Flags whose values are gathered in an array. */
  readonly collect: readonly string[];
  /**
   * Called with each unknown flag (`key` is its name) and each operand (no `key`); false leaves it out of
   * the result.
   */
  readonly unknown: (word: string, key?: string) => boolean;
}

/** Values by flag name, operands under `_`. */
export interface ParsedArgs {
  readonly _: readonly string[];
  readonly [name: string]: unknown;
}

/** Splits `words` into flags and operands. */
export function parseArgs(words: readonly string[], options: ParseArgsOptions): ParsedArgs;
