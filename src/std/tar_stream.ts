/** Archives of tar, read and written as streams: the typed door to `tar-stream`; types in `tar_stream.d.ts`. */

// @ts-types="./tar_stream.d.ts"
export { type Extract, extract, type Pack, pack, type TarEntry, type TarHeader } from "tar-stream";
