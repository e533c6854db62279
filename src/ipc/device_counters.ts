/**
 * What a device has counted, where the control thread can look at any time.
 *
 * Owner of the words: the I/O thread, which publishes at the end of a batch, not for each request. A seqlock, as the
 * register mirror: the sequence is odd while words change, and what was read counts if the sequence was even and the same
 * before and after. All accesses are Atomics: one order that every thread agrees on. A count has two words, low and
 * high, and is exact below 2**53.
 */

/** Most counts of one device. */
export const MAX_COUNTS = 8;
/** Words of one device. */
export const COUNTER_WORDS: number = 1 + 2 * MAX_COUNTS;
const HIGH = 0x1_0000_0000;
/** A publication takes less than so many looks; then each look waits for a millisecond. */
const SPINS = 100;
const MAX_LOOKS = 1000;

/** One device's counts, as seen from one thread. */
export class DeviceCounters {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #published = new Float64Array(MAX_COUNTS);

  /** `words[base]` and the `COUNTER_WORDS` from there are shared with the other threads. */
  constructor(words: Int32Array, base: number) {
    this.#words = words;
    this.#base = base;
  }

  /** I/O thread only: these are the counts now, MAX_COUNTS of them at most. */
  publish(counts: Float64Array): void {
    const words = this.#words;
    const base = this.#base;
    let isChanging = false;
    for (let i = 0; i < counts.length; i++) {
      const count = counts[i] as number;
      const before = this.#published[i] as number;
      if (count === before) continue;
      if (!isChanging) Atomics.add(words, base, 1);
      isChanging = true;
      this.#published[i] = count;
      Atomics.store(words, base + 1 + 2 * i, count | 0);
      const high = Math.floor(count / HIGH);
      if (high !== Math.floor(before / HIGH)) Atomics.store(words, base + 2 + 2 * i, high);
    }
    if (isChanging) Atomics.add(words, base, 1);
  }

  /** The first `length` counts, all of one moment. */
  read(length: number): number[] {
    const counts = new Array<number>(length).fill(0);
    for (let looks = 1;; looks++) {
      const before = Atomics.load(this.#words, this.#base);
      const isPatient = looks < MAX_LOOKS; // one that does not go on has died: nearly right is best then
      if ((before & 1) !== 0 && isPatient) { // it has lost its processor, for which we may be the reason
        if (looks > SPINS) Atomics.wait(this.#words, this.#base, before, 1);
        continue;
      }
      for (let i = 0; i < length; i++) counts[i] = this.#count(i);
      if (Atomics.load(this.#words, this.#base) === before || !isPatient) return counts;
    }
  }

  #count(index: number): number {
    const at = this.#base + 1 + 2 * index;
    return (Atomics.load(this.#words, at) >>> 0) + Atomics.load(this.#words, at + 1) * HIGH;
  }
}
