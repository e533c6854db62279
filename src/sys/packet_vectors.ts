/** One packet for readv or writev: some bytes of ours in front, then spans of guest memory. Used by network backends. */
import { IOV_MAX, iovec } from "../abi/linux.ts";
import type { FdNumber } from "./fd.ts";
import { addressOf, errno, libc } from "./libc.ts";

const IOVEC_WORDS = iovec.size / 4;

/** A `struct iovec[]` whose first entry is always `head`. Allocated once, filled for every packet. */
export class PacketVectors {
  readonly #words = new Uint32Array(IOV_MAX * IOVEC_WORDS);
  readonly #bytes = new Uint8Array(this.#words.buffer);
  #count = 1;

  /** Keeps `head` alive, and its first `length` bytes in front of every packet. */
  constructor(readonly head: Uint8Array<ArrayBuffer>, length: number = head.length) {
    const address = addressOf(head);
    this.#words[0] = address;
    this.#words[1] = address / 0x1_0000_0000;
    this.#words[2] = length;
  }

  /** Puts `count` < IOV_MAX entries of `words` behind the head. */
  load(words: Uint32Array<ArrayBuffer>, count: number): void {
    const mine = this.#words;
    const end = count * IOVEC_WORDS;
    for (let i = 0; i < end; i++) mine[IOVEC_WORDS + i] = words[i] as number;
    this.#count = count + 1;
  }

  /** readv: bytes, or -errno. */
  readFrom(fd: FdNumber): number {
    const result = libc().readv(fd, this.#bytes, this.#count);
    return result === -1 ? -errno() : result;
  }

  /** writev: bytes, or -errno. */
  writeTo(fd: FdNumber): number {
    const result = libc().writev(fd, this.#bytes, this.#count);
    return result === -1 ? -errno() : result;
  }
}
