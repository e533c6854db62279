/**
 * A `struct iovec[]` over guest RAM, filled by chains and handed to the kernel: data moves between a file or
 * socket and guest memory without passing through a JavaScript buffer. Reused from request to request.
 */
import { iovec } from "../abi/linux.ts";
import { InvariantError } from "./faults.ts";

const IOVEC_WORDS = iovec.size / 4;
const HIGH = 0x1_0000_0000;
/** Up to here a loop moves words faster than the engine's own `copyWithin`. */
const LOOP_WORDS = 64;

/** Grows up to the largest chain it ever held, then stays. */
export class IovecList {
  #words: Uint32Array<ArrayBuffer>;
  #count = 0;
  #bytes = 0;

  constructor(capacity = 16) {
    this.#words = new Uint32Array(capacity * IOVEC_WORDS);
  }

  /** Where `words` lies in the monitor's memory: found and kept by whoever knows how; 0 while unknown. */
  wordsAddress = 0;

  /** Entries in use. */
  get count(): number {
    return this.#count;
  }

  /** Sum of the entries' lengths. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Where the first entry's memory begins; of a list with one entry that is all of it. */
  get address(): number {
    return this.#address(0);
  }

  /** The array itself, for the kernel: little-endian {iov_base u64, iov_len u64}. `add` may replace it. */
  get words(): Uint32Array<ArrayBuffer> {
    return this.#words;
  }

  clear(): void {
    this.#count = 0;
    this.#bytes = 0;
  }

  /** Appends `length` bytes at `address` of the monitor; extends the last entry when it ends there. */
  add(address: number, length: number): void {
    this.#bytes += length;
    if (
      this.#count > 0 && this.#address(this.#count - 1) + this.#length(this.#count - 1) === address
    ) {
      this.#put(
        this.#count - 1,
        this.#address(this.#count - 1),
        this.#length(this.#count - 1) + length,
      );
      return;
    }
    if ((this.#count + 1) * IOVEC_WORDS > this.#words.length) this.#grow();
    this.#put(this.#count++, address, length);
  }

  /** Appends the first `bytes` bytes of `other`, which has that many. */
  addFirst(other: IovecList, bytes: number): void {
    if (bytes > other.#bytes) {
      throw new InvariantError(`Cannot take ${bytes} of ${other.#bytes} bytes`);
    }
    for (let i = 0; bytes > 0; i++) {
      const part = Math.min(bytes, other.#length(i));
      this.add(other.#address(i), part);
      bytes -= part;
    }
  }

  /** Drops the first `bytes` bytes: what a short read or write has already moved. */
  advance(bytes: number): void {
    if (bytes > this.#bytes) {
      throw new InvariantError(`Cannot advance ${bytes} of ${this.#bytes} bytes`);
    }
    let dropped = 0;
    let left = bytes;
    while (dropped < this.#count && left >= this.#length(dropped)) left -= this.#length(dropped++);
    this.#count -= dropped;
    if (dropped > 0) this.#shift(dropped);
    this.#bytes -= bytes;
    if (left > 0) this.#put(0, this.#address(0) + left, this.#length(0) - left);
  }

  /** Moves the entries in use down from `from`. For a few of them a call of `copyWithin` costs more than it does. */
  #shift(from: number): void {
    const words = this.#words;
    const end = this.#count * IOVEC_WORDS;
    if (end > LOOP_WORDS) {
      return void words.copyWithin(0, from * IOVEC_WORDS, from * IOVEC_WORDS + end);
    }
    for (let i = 0, at = from * IOVEC_WORDS; i < end; i++, at++) words[i] = words[at] as number;
  }

  #address(index: number): number {
    const at = index * IOVEC_WORDS;
    return (this.#words[at] as number) + (this.#words[at + 1] as number) * HIGH;
  }

  #length(index: number): number {
    const at = index * IOVEC_WORDS;
    return (this.#words[at + 2] as number) + (this.#words[at + 3] as number) * HIGH;
  }

  #put(index: number, address: number, length: number): void {
    const at = index * IOVEC_WORDS;
    this.#words[at] = address;
    this.#words[at + 1] = address / HIGH;
    this.#words[at + 2] = length;
    this.#words[at + 3] = length / HIGH;
  }

  #grow(): void {
    const larger = new Uint32Array(this.#words.length * 2);
    larger.set(this.#words);
    this.#words = larger;
    this.wordsAddress = 0;
  }
}
