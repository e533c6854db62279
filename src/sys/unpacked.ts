/** Collects what a decompressor puts out, piece by piece, up to a bound. Called by `liblzma.ts` and `liblz4.ts`. */
import { DecompressError } from "./decompress_error.ts";

/** Unpacked bytes so far. A stream that puts out more than `maxBytes` is refused: a few KiB can unpack to gigabytes. */
export class Unpacked {
  readonly #kind: string;
  readonly #maxBytes: number;
  readonly #pieces: Uint8Array<ArrayBuffer>[] = [];
  #length = 0;

  constructor(kind: string, maxBytes: number) {
    this.#kind = kind;
    this.#maxBytes = maxBytes;
  }

  /** Keeps `piece`, which the caller does not write to any more. Throws DecompressError COMPRESSED_TOO_BIG. */
  add(piece: Uint8Array<ArrayBuffer>): void {
    this.#length += piece.length;
    if (this.#length > this.#maxBytes) throw DecompressError.tooBig(this.#kind, this.#maxBytes);
    this.#pieces.push(piece);
  }

  /** Everything in one piece. */
  bytes(): Uint8Array<ArrayBuffer> {
    const [only] = this.#pieces;
    if (only !== undefined && this.#pieces.length === 1) return only;
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const piece of this.#pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }
}
