/** The word somebody may have meant: the typed door to `@std/text/closest-string`; types in `closest_string.d.ts`. */

// @ts-types="./closest_string.d.ts"
export { closestString } from "@std/text/closest-string";
