/** The word somebody may have meant: the typed door to two modules of `@std/text`; types in `near_strings.d.ts`. */

// @ts-types="./near_strings.d.ts"
export { closestString } from "@std/text/closest-string";
// @ts-types="./near_strings.d.ts"
export { levenshteinDistance } from "@std/text/levenshtein-distance";
