/**
 * gzip (RFC 1952) and zstd (RFC 8878) by the runtime's own node:zlib. It refuses bytes behind a stream, or takes a
 * stream's beginning for the whole, so where a stream ends is found out here. Called by `decompress.ts`.
 */
import { builtinModule } from "./builtin_module.ts";
import { DecompressError } from "./decompress_error.ts";

// RFC 1952, 2.3.1.
const GZIP_HEADER_BYTES = 10;
const GZIP_TRAILER_BYTES = 8;
const FHCRC = 2;
const FEXTRA = 4;
const FNAME = 8;
const FCOMMENT = 16;

// RFC 8878, 3.1.1.
const ZSTD_MAGIC_BYTES = 4;
const ZSTD_BLOCK_HEADER_BYTES = 3;
const ZSTD_CHECKSUM_BYTES = 4;
const ZSTD_BLOCK_RLE = 1;
const ZSTD_BLOCK_RESERVED = 3;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

/** Not imported at the top: it takes 30 ms to load. */
function zlib(): typeof import("node:zlib") {
  return builtinModule("node:zlib");
}

/** Unpacks the first gzip member in `bytes`; what follows it is not looked at. Throws DecompressError. */
export function unpackGzip(
  bytes: Uint8Array<ArrayBuffer>,
  maxBytes: number,
): Uint8Array<ArrayBuffer> {
  const deflated = bytes.subarray(gzipHeaderEnd(bytes));
  const { unpacked, consumed } = guarded("gzip", maxBytes, () => {
    const result: unknown = zlib().inflateRawSync(deflated, {
      maxOutputLength: maxBytes,
      info: true,
    });
    // @types/node has no overload for `info`: zlib's documentation, class Options.
    const { buffer, engine } = result as InflateInfo;
    return { unpacked: plain(buffer), consumed: engine.bytesWritten };
  });
  const trailer = deflated.subarray(consumed, consumed + GZIP_TRAILER_BYTES);
  if (trailer.length < GZIP_TRAILER_BYTES) throw DecompressError.truncated("gzip");
  const view = new DataView(trailer.buffer, trailer.byteOffset);
  if (view.getUint32(0, true) !== zlib().crc32(unpacked)) {
    throw DecompressError.corrupt("gzip", "its checksum is wrong");
  }
  return unpacked;
}

interface InflateInfo {
  readonly buffer: Uint8Array;
  readonly engine: { readonly bytesWritten: number };
}

/** Where the deflated data starts: RFC 1952, 2.3. */
function gzipHeaderEnd(bytes: Uint8Array): number {
  const flags = bytes[3] ?? 0;
  let at = GZIP_HEADER_BYTES;
  if ((flags & FEXTRA) !== 0) at += 2 + (bytes[at] ?? 0) + (bytes[at + 1] ?? 0) * 256;
  for (const text of [FNAME, FCOMMENT]) {
    if ((flags & text) === 0) continue;
    const end = bytes.indexOf(0, at);
    if (end === -1) throw DecompressError.truncated("gzip");
    at = end + 1;
  }
  return (flags & FHCRC) !== 0 ? at + 2 : at;
}

/** Unpacks the first zstd frame in `bytes`; what follows it is not looked at. Throws DecompressError. */
export function unpackZstd(
  bytes: Uint8Array<ArrayBuffer>,
  maxBytes: number,
): Uint8Array<ArrayBuffer> {
  const frame = bytes.subarray(0, zstdFrameEnd(bytes));
  return guarded(
    "zstd",
    maxBytes,
    () => plain(zlib().zstdDecompressSync(frame, { maxOutputLength: maxBytes })),
  );
}

/** The length of the first frame, by its header and its blocks' headers. */
function zstdFrameEnd(bytes: Uint8Array): number {
  // Beyond the end everything is 0: no last block, so the loop's own check ends it.
  const byte = (at: number) => bytes[at] ?? 0;
  const descriptor = byte(ZSTD_MAGIC_BYTES);
  const singleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >>> 6;
  const sizeBytes = sizeFlag === 0 && singleSegment ? 1 : CONTENT_SIZE_BYTES[sizeFlag] ?? 0;
  let at = ZSTD_MAGIC_BYTES + 1 + (singleSegment ? 0 : 1) +
    (DICTIONARY_ID_BYTES[descriptor & 3] ?? 0) + sizeBytes;
  for (let last = false; !last;) {
    const header = byte(at) | byte(at + 1) << 8 | byte(at + 2) << 16;
    last = (header & 1) !== 0;
    const type = header >>> 1 & 3;
    if (type === ZSTD_BLOCK_RESERVED) throw DecompressError.corrupt("zstd");
    at += ZSTD_BLOCK_HEADER_BYTES + (type === ZSTD_BLOCK_RLE ? 1 : header >>> 3);
    if (at > bytes.length) throw DecompressError.truncated("zstd");
  }
  if ((descriptor & 4) !== 0) at += ZSTD_CHECKSUM_BYTES;
  if (at > bytes.length) throw DecompressError.truncated("zstd");
  return at;
}

/** Runs `unpack` and says in our words what node:zlib throws. */
function guarded<T>(kind: string, maxBytes: number, unpack: () => T): T {
  try {
    return unpack();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ERR_BUFFER_TOO_LARGE") throw DecompressError.tooBig(kind, maxBytes);
    if (code === "Z_BUF_ERROR") throw DecompressError.truncated(kind);
    throw DecompressError.corrupt(kind, error instanceof Error ? error.message : String(error));
  }
}

/** `buffer` without Node's methods, on the same bytes. */
function plain(buffer: Uint8Array): Uint8Array<ArrayBuffer> {
  // Typed as if it could be shared; node:zlib allocates its results itself and never shares them.
  return new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.length);
}
