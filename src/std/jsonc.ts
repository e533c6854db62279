/** JSON with comments: the typed door to `@std/jsonc/parse`; types in `jsonc.d.ts`. */

// @ts-types="./jsonc.d.ts"
export { parse as parseJsonc } from "@std/jsonc/parse";
