/** Splitting a command line: the typed door to `@std/cli/parse-args`. Types are ours, in `parse_args.d.ts`. */

// @ts-types="./parse_args.d.ts"
export { parseArgs } from "@std/cli/parse-args";
