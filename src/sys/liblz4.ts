/**
 * lz4 by the system's liblz4 (lz4.h, lz4frame.h): the legacy format, which the kernel's build uses, and frames
 * (lz4_Frame_format.md, which describes both). Called by `decompress.ts`.
 */
import { DecompressError } from "./decompress_error.ts";
import { openLibrary } from "./shared_library.ts";
import { Unpacked } from "./unpacked.ts";

const SYMBOLS = {
  // int LZ4_decompress_safe(const char *src, char *dst, int compressedSize, int dstCapacity);
  LZ4_decompress_safe: { parameters: ["buffer", "buffer", "i32", "i32"], result: "i32" },
  // LZ4F_errorCode_t LZ4F_createDecompressionContext(LZ4F_dctx **dctxPtr, unsigned version);
  LZ4F_createDecompressionContext: { parameters: ["buffer", "u32"], result: "usize" },
  // LZ4F_errorCode_t LZ4F_freeDecompressionContext(LZ4F_dctx *dctx);
  LZ4F_freeDecompressionContext: { parameters: ["usize"], result: "usize" },
  // size_t LZ4F_decompress(LZ4F_dctx *, void *dst, size_t *dstSize, const void *src, size_t *srcSize, const options *);
  LZ4F_decompress: {
    parameters: ["usize", "buffer", "buffer", "buffer", "buffer", "pointer"],
    result: "usize",
  },
  // unsigned LZ4F_isError(LZ4F_errorCode_t code);
  LZ4F_isError: { parameters: ["usize"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Liblz4 = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

const LZ4F_VERSION = 100;
const LEGACY_MAGIC = 0x184c2102;
/** A legacy block unpacks to at most this. */
const LEGACY_BLOCK_BYTES = 8 * 1024 * 1024;
/** LZ4_compressBound(LEGACY_BLOCK_BYTES): no block can be longer, so a bigger number is no block's length. */
const LEGACY_BLOCK_BOUND = LEGACY_BLOCK_BYTES + Math.floor(LEGACY_BLOCK_BYTES / 255) + 16;
const PIECE_BYTES = 4 * 1024 * 1024;

let symbols: Liblz4 | undefined;

function liblz4(): Liblz4 {
  return symbols ??= openLibrary("liblz4.so.1", "liblz4-1", SYMBOLS);
}

/** Unpacks the first stream in `bytes`; what follows it is not looked at. Throws DecompressError. */
export function unpackLz4(
  bytes: Uint8Array<ArrayBuffer>,
  maxBytes: number,
): Uint8Array<ArrayBuffer> {
  const lib = liblz4();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const unpacked = new Unpacked("lz4", maxBytes);
  if (view.getUint32(0, true) === LEGACY_MAGIC) unpackLegacy(lib, bytes, view, unpacked);
  else unpackFrame(lib, bytes, unpacked);
  return unpacked.bytes();
}

/** Blocks of their own, each with its length before it. Nothing marks the end. */
function unpackLegacy(
  lib: Liblz4,
  bytes: Uint8Array<ArrayBuffer>,
  view: DataView,
  unpacked: Unpacked,
): void {
  let at = 4;
  while (at < bytes.length) {
    // The kernel's build puts the unpacked size, 4 bytes, where the next block's length would be.
    if (bytes.length - at <= 4) return;
    const length = view.getUint32(at, true);
    if (length === 0 || length > LEGACY_BLOCK_BOUND) return;
    at += 4;
    if (at + length > bytes.length) throw DecompressError.truncated("lz4");
    const piece = new Uint8Array(LEGACY_BLOCK_BYTES);
    const block = bytes.subarray(at, at + length);
    const size = lib.LZ4_decompress_safe(block, piece, length, piece.length);
    if (size < 0) throw DecompressError.corrupt("lz4");
    unpacked.add(piece.subarray(0, size));
    at += length;
  }
}

function unpackFrame(lib: Liblz4, bytes: Uint8Array<ArrayBuffer>, unpacked: Unpacked): void {
  const handle = new BigUint64Array(1);
  const created = lib.LZ4F_createDecompressionContext(handle, LZ4F_VERSION);
  const [context = 0n] = handle;
  if (lib.LZ4F_isError(created) !== 0) throw new Error("liblz4 is out of memory");
  try {
    let at = 0;
    for (;;) {
      const piece = new Uint8Array(PIECE_BYTES);
      const pieceSize = BigUint64Array.of(BigInt(piece.length));
      const inputSize = BigUint64Array.of(BigInt(bytes.length - at));
      const left = lib.LZ4F_decompress(
        context,
        piece,
        pieceSize,
        bytes.subarray(at),
        inputSize,
        null,
      );
      if (lib.LZ4F_isError(left) !== 0) throw DecompressError.corrupt("lz4");
      unpacked.add(piece.subarray(0, Number(pieceSize[0])));
      at += Number(inputSize[0]);
      if (left === 0n) return;
      if (at === bytes.length && pieceSize[0] === 0n) throw DecompressError.truncated("lz4");
    }
  } finally {
    lib.LZ4F_freeDecompressionContext(context);
  }
}
