/**
 * A ring of bytes between two threads, in shared memory. One side pushes, the other pops.
 * Owner of `tail`: the producer; of `head`: the consumer (several producers take a `SharedLock` around `push`).
 * Both are free-running u32 counts stored by Atomics after the bytes they cover (release) and loaded by Atomics
 * before them (acquire); the bytes in between are plain.
 */

export const BYTE_RING_WORDS = 2;
const HEAD = 0;
const TAIL = 1;

export class ByteRing {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #bytes: Uint8Array;
  readonly #mask: number;

  /** `words[base..base+2)` are the counts; `bytes` has a power of two as length. */
  constructor(words: Int32Array, base: number, bytes: Uint8Array) {
    this.#words = words;
    this.#base = base;
    this.#bytes = bytes;
    this.#mask = bytes.length - 1;
  }

  get capacity(): number {
    return this.#bytes.length;
  }

  /** Bytes waiting. */
  get length(): number {
    return (Atomics.load(this.#words, this.#base + TAIL) -
      Atomics.load(this.#words, this.#base + HEAD)) >>> 0;
  }

  /** Producer: appends a byte; false when full. */
  push(byte: number): boolean {
    const tail = Atomics.load(this.#words, this.#base + TAIL);
    if (((tail - Atomics.load(this.#words, this.#base + HEAD)) >>> 0) > this.#mask) return false;
    this.#bytes[tail & this.#mask] = byte;
    Atomics.store(this.#words, this.#base + TAIL, tail + 1);
    return true;
  }

  /** Consumer: takes the oldest byte; -1 when empty. */
  pop(): number {
    const head = Atomics.load(this.#words, this.#base + HEAD);
    if (head === Atomics.load(this.#words, this.#base + TAIL)) return -1;
    const byte = this.#bytes[head & this.#mask] as number;
    Atomics.store(this.#words, this.#base + HEAD, head + 1);
    return byte;
  }

  /** Consumer: copies up to `into.length` bytes without taking them; returns how many. */
  peek(into: Uint8Array): number {
    const head = Atomics.load(this.#words, this.#base + HEAD);
    const count = Math.min(
      into.length,
      (Atomics.load(this.#words, this.#base + TAIL) - head) >>> 0,
    );
    for (let i = 0; i < count; i++) into[i] = this.#bytes[(head + i) & this.#mask] as number;
    return count;
  }

  /** Consumer: takes `count` bytes that `peek` has shown. */
  drop(count: number): void {
    Atomics.add(this.#words, this.#base + HEAD, count);
  }

  /** Producer: sleeps until the consumer takes something, or `timeoutMs` pass. The consumer calls `wake`. */
  waitForRoom(timeoutMs: number): void {
    const head = Atomics.load(this.#words, this.#base + HEAD);
    const tail = Atomics.load(this.#words, this.#base + TAIL);
    if (((tail - head) >>> 0) > this.#mask) {
      Atomics.wait(this.#words, this.#base + HEAD, head, timeoutMs);
    }
  }

  /** Consumer: wakes producers that wait for room. */
  wake(): void {
    Atomics.notify(this.#words, this.#base + HEAD);
  }
}
