/**
 * xz and lzma by the system's liblzma (lzma/base.h, lzma/container.h of its 5.x releases): JavaScript runtimes bring
 * neither. Called by `decompress.ts`.
 */
import { DecompressError } from "./decompress_error.ts";
import { addressOf } from "./libc.ts";
import { openLibrary } from "./shared_library.ts";
import { Unpacked } from "./unpacked.ts";

const SYMBOLS = {
  // lzma_ret lzma_stream_decoder(lzma_stream *strm, uint64_t memlimit, uint32_t flags);
  lzma_stream_decoder: { parameters: ["buffer", "u64", "u32"], result: "i32" },
  // lzma_ret lzma_alone_decoder(lzma_stream *strm, uint64_t memlimit);
  lzma_alone_decoder: { parameters: ["buffer", "u64"], result: "i32" },
  // lzma_ret lzma_code(lzma_stream *strm, lzma_action action);
  lzma_code: { parameters: ["buffer", "i32"], result: "i32" },
  // void lzma_end(lzma_stream *strm);
  lzma_end: { parameters: ["buffer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

type Liblzma = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

// enum lzma_ret, lzma/base.h.
const LZMA_OK = 0;
const LZMA_STREAM_END = 1;
const LZMA_MEM_ERROR = 5;
const LZMA_MEMLIMIT_ERROR = 6;
const LZMA_OPTIONS_ERROR = 8;
const LZMA_BUF_ERROR = 10;
// enum lzma_action.
const LZMA_FINISH = 3;

// struct lzma_stream on 64-bit machines; zero is LZMA_STREAM_INIT.
const STREAM = { next_in: 0, avail_in: 8, next_out: 24, avail_out: 32, size: 136 } as const;

/** Dictionaries are sized by the header, before a byte comes out. The kernel's own build asks for 128 MiB. */
const MEMORY_LIMIT = 512n * 1024n * 1024n;
const PIECE_BYTES = 4 * 1024 * 1024;

let symbols: Liblzma | undefined;

function liblzma(): Liblzma {
  return symbols ??= openLibrary("liblzma.so.5", "liblzma5", SYMBOLS);
}

/**
 * Unpacks the first stream in `bytes`; what follows it is not looked at. Throws DecompressError, LIBRARY_MISSING among
 * its codes.
 */
export function unpackLzma(
  kind: "xz" | "lzma",
  bytes: Uint8Array<ArrayBuffer>,
  maxBytes: number,
): Uint8Array<ArrayBuffer> {
  const lib = liblzma();
  const stream = new Uint8Array(STREAM.size);
  checkReturn(
    kind,
    kind === "xz"
      ? lib.lzma_stream_decoder(stream, MEMORY_LIMIT, 0)
      : lib.lzma_alone_decoder(stream, MEMORY_LIMIT),
  );
  try {
    return decodeAll(lib, kind, stream, bytes, maxBytes);
  } finally {
    lib.lzma_end(stream);
  }
}

function decodeAll(
  lib: Liblzma,
  kind: "xz" | "lzma",
  stream: Uint8Array<ArrayBuffer>,
  bytes: Uint8Array<ArrayBuffer>,
  maxBytes: number,
): Uint8Array<ArrayBuffer> {
  const view = new DataView(stream.buffer);
  // SAFETY: `bytes` and `piece` stay referenced, so their addresses hold for as long as liblzma uses them.
  view.setBigUint64(STREAM.next_in, BigInt(addressOf(bytes)), true);
  view.setBigUint64(STREAM.avail_in, BigInt(bytes.length), true);
  const unpacked = new Unpacked(kind, maxBytes);
  for (;;) {
    const piece = new Uint8Array(PIECE_BYTES);
    view.setBigUint64(STREAM.next_out, BigInt(addressOf(piece)), true);
    view.setBigUint64(STREAM.avail_out, BigInt(piece.length), true);
    const result = lib.lzma_code(stream, LZMA_FINISH);
    unpacked.add(
      piece.subarray(0, piece.length - Number(view.getBigUint64(STREAM.avail_out, true))),
    );
    if (result === LZMA_STREAM_END) return unpacked.bytes();
    checkReturn(kind, result);
    // LZMA_OK with room left over would mean that it waits for input which will not come.
    if (view.getBigUint64(STREAM.avail_out, true) !== 0n) throw DecompressError.truncated(kind);
  }
}

function checkReturn(kind: string, result: number): void {
  switch (result) {
    case LZMA_OK:
      return;
    case LZMA_BUF_ERROR:
      throw DecompressError.truncated(kind);
    case LZMA_MEM_ERROR:
    case LZMA_MEMLIMIT_ERROR:
      throw new DecompressError(
        "COMPRESSED_TOO_BIG",
        `Cannot unpack ${kind} data: it asks for more than ${
          MEMORY_LIMIT / 1048576n
        } MiB of memory`,
      );
    case LZMA_OPTIONS_ERROR:
      throw new DecompressError(
        "COMPRESSION_UNSUPPORTED",
        `Cannot unpack ${kind} data: this host's liblzma does not know one of its filters`,
        "install a newer liblzma5",
      );
    default:
      throw DecompressError.corrupt(kind);
  }
}
