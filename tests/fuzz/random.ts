/** Numbers that look random and come again with the same seed: xorshift32 (Marsaglia 2003). */

export class Random {
  #state: number;

  /** Any 32-bit number. */
  constructor(seed: number) {
    // Neighbouring seeds must not give neighbouring sequences, and zero would stay zero.
    this.#state = Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) | 1;
    for (let i = 0; i < 8; i++) this.#step();
  }

  #step(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return this.#state = x;
  }

  /** 0 to 0xffff_ffff. */
  u32(): number {
    return this.#step() >>> 0;
  }

  /** 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor(this.u32() / 2 ** 32 * limit);
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  /** One of `items`. */
  of<T>(items: readonly [T, ...T[]]): T {
    return items[this.below(items.length)] ?? items[0];
  }

  /** A number where faults like to be: around powers of two, small, or anything. */
  odd(): number {
    switch (this.below(4)) {
      case 0:
        return this.below(16);
      case 1:
        return (2 ** this.below(33) - 1 + this.below(3)) >>> 0;
      case 2:
        return (-this.below(16)) >>> 0;
      default:
        return this.u32();
    }
  }
}
