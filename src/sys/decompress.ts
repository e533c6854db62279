/**
 * Unpacks what kernels and initrds are packed with, in one go. gzip and zstd by the runtime, xz, lzma and lz4 by the
 * system's libraries, which are opened when first needed.
 */
import { DecompressError } from "./decompress_error.ts";
import { unpackLz4 } from "./liblz4.ts";
import { unpackLzma } from "./liblzma.ts";
import { unpackGzip, unpackZstd } from "./node_zlib.ts";

export { DecompressError, type DecompressErrorCode } from "./decompress_error.ts";

/** Kinds of compression, as the kernel's configuration names them. */
export type Compression = "gzip" | "xz" | "lzma" | "zstd" | "lz4" | "bzip2" | "lzo";

// The kernel's lib/decompress.c goes by the first two bytes; these are the formats' own, longer ones.
const MAGICS: readonly (readonly [Compression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b, 8]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
  ["lzma", [0x5d, 0, 0]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["lz4", [0x02, 0x21, 0x4c, 0x18]], // legacy
  ["lz4", [0x04, 0x22, 0x4d, 0x18]], // frame
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["lzo", [0x89, 0x4c, 0x5a, 0x4f]],
];

/** Far above any kernel's; whoever expects more says so. */
const DEFAULT_MAX_BYTES = 256 * 1024 * 1024;

/** What the data that starts with `head` (6 bytes are enough) is packed with; undefined when with nothing known here. */
export function compressionOf(head: Uint8Array): Compression | undefined {
  const found = MAGICS.find(([, magic]) => magic.every((byte, index) => head[index] === byte));
  return found?.[0];
}

/**
 * Unpacks the first stream in `bytes`; what follows it is not looked at, as the kernel's build puts a size there and
 * initrds go on with another archive. Takes some 100 ms for a kernel.
 *
 * @throws {DecompressError} also when more than `maxBytes` come out, or a library is not installed
 */
export function decompress(
  bytes: Uint8Array<ArrayBuffer>,
  { maxBytes = DEFAULT_MAX_BYTES }: { readonly maxBytes?: number } = {},
): Uint8Array<ArrayBuffer> {
  const kind = compressionOf(bytes);
  switch (kind) {
    case "gzip":
      return unpackGzip(bytes, maxBytes);
    case "zstd":
      return unpackZstd(bytes, maxBytes);
    case "xz":
    case "lzma":
      return unpackLzma(kind, bytes, maxBytes);
    case "lz4":
      return unpackLz4(bytes, maxBytes);
    case "bzip2":
    case "lzo":
      throw new DecompressError(
        "COMPRESSION_UNSUPPORTED",
        `Cannot unpack ${kind} data: only gzip, xz, lzma, zstd and lz4 are supported`,
        "unpack it first, or pack it with one of these",
      );
    case undefined:
      throw new DecompressError(
        "COMPRESSION_UNSUPPORTED",
        "Cannot unpack the data: it is of no known compression",
      );
  }
}
