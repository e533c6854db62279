/** One packet for readv or writev: some bytes of ours in front, then spans of guest memory. Used by network backends. */
import { IOV_MAX, iovec } from "../abi/linux.ts";
import type { FdNumber } from "./fd.ts";
import { addressOf, errno, libc } from "./libc.ts";

const IOVEC_WORDS = iovec.size / 4;

/** A `struct iovec[]` whose first entry is always `head`. Allocated once, filled for every packet. */
export class PacketVectors {
  readonly #words = new Uint32Array(IOV_MAX * IOVEC_WORDS);
  readonly #bytes = new Uint8Array(this.#words.buffer);
  /** What `loadForReading` puts behind a packet's room. */
  readonly #spare = new Uint8Array(1);
  readonly #spareAddress = addressOf(this.#spare);
  #count = 1;

  /** Keeps `head` alive, and its first `length` bytes in front of every packet. */
  constructor(readonly head: Uint8Array<ArrayBuffer>, length: number = head.length) {
    this.#put(0, addressOf(head), length);
  }

  #put(entry: number, address: number, length: number): void {
    const at = entry * IOVEC_WORDS;
    this.#words[at] = address;
    this.#words[at + 1] = address / 0x1_0000_0000;
    this.#words[at + 2] = length;
    this.#words[at + 3] = 0;
  }

  /** Puts `count` < IOV_MAX entries of `words` behind the head. */
  load(words: Uint32Array<ArrayBuffer>, count: number): void {
    const mine = this.#words;
    const end = count * IOVEC_WORDS;
    for (let i = 0; i < end; i++) mine[IOVEC_WORDS + i] = words[i] as number;
    this.#count = count + 1;
  }

  /**
   * The same for `count` < IOV_MAX - 1 entries, and a byte of ours behind them: a packet that does not fit reaches it, so
   * that `readFrom` returns more than there was room for. The kernel cuts packets to the room without a word.
   */
  loadForReading(words: Uint32Array<ArrayBuffer>, count: number): void {
    this.load(words, count);
    this.#put(this.#count++, this.#spareAddress, this.#spare.length);
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
