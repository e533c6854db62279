/**
 * What a device's registers and configuration space read as, in memory that every vCPU thread can look at: reads of
 * virtio-mmio have no side effects, so they need not wait for the I/O thread. A device that learns from being read
 * (`ConfigSpace.seesReads`) keeps its configuration space out of here.
 *
 * Owner of the words: the I/O thread, which publishes before it answers a forwarded write and before it announces a
 * change. A seqlock: the sequence is odd while words change, and a reader takes a value only if the sequence was even
 * and the same before and after. So all that is read between two equal reads of ConfigGeneration is of one version
 * (spec 4.2.2.1, MMIO-37). All accesses are Atomics: one order that every thread agrees on.
 */

/** Registers end, and the configuration space begins, here (spec 4.2.2). */
const CONFIG = 0x100;
/** Configuration bytes that are mirrored, more than any device of the spec has; those beyond are asked for. */
const CONFIG_BYTES = 256;

const SEQUENCE = 0;
/** Length of the configuration space, plus one; 0 before anything is published; -1: the space is not mirrored. */
const LENGTH = 1;
const REGISTERS = 2;
const CONFIG_WORDS = REGISTERS + CONFIG / 4;
/** Words of one mirror. */
export const MIRROR_WORDS: number = CONFIG_WORDS + CONFIG_BYTES / 4;

/** A publication takes less than this many looks, unless the publisher has lost its processor. */
const MAX_LOOKS = 1000;
/** `read`: not to be had here, ask the I/O thread. */
export const NOT_MIRRORED = -1;

/** One device's mirror, as seen from one thread. */
export class RegisterMirror {
  readonly #words: Int32Array;
  readonly #base: number;

  /** `words[base]` and the `MIRROR_WORDS` from there are shared with the other threads. */
  constructor(words: Int32Array, base: number) {
    this.#words = words;
    this.#base = base;
  }

  /**
   * I/O thread only: words change from here to `end`. Without `configLength` the configuration space is not mirrored:
   * its device sees every read.
   */
  begin(configLength?: number): void {
    Atomics.add(this.#words, this.#base + SEQUENCE, 1);
    const word = configLength === undefined ? -1 : configLength + 1;
    Atomics.store(this.#words, this.#base + LENGTH, word);
  }

  /** I/O thread only: the register at `offset`, a multiple of 4 below 0x100. */
  setRegister(offset: number, value: number): void {
    Atomics.store(this.#words, this.#base + REGISTERS + offset / 4, value);
  }

  /** I/O thread only: four bytes of configuration space, little-endian; `offset` is a multiple of 4. */
  setConfig(offset: number, value: number): void {
    if (offset < CONFIG_BYTES) {
      Atomics.store(this.#words, this.#base + CONFIG_WORDS + offset / 4, value);
    }
  }

  /** I/O thread only: what was set is what is read. */
  end(): void {
    Atomics.add(this.#words, this.#base + SEQUENCE, 1);
  }

  /** What reading `size` bytes at `offset` of the window gives, or NOT_MIRRORED. */
  read(offset: number, size: number): number {
    const sequence = this.#base + SEQUENCE;
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      const before = Atomics.load(this.#words, sequence);
      if ((before & 1) !== 0) continue;
      const value = offset < CONFIG ? this.#register(offset, size) : this.#config(offset, size);
      if (Atomics.load(this.#words, sequence) === before) return value;
    }
    return NOT_MIRRORED;
  }

  #word(index: number): number {
    return Atomics.load(this.#words, this.#base + index);
  }

  /** Registers are 32 bits wide and aligned; anything else reads 0 (MMIO-39, HD-53). */
  #register(offset: number, size: number): number {
    if (this.#word(LENGTH) === 0) return NOT_MIRRORED;
    return size === 4 && (offset & 3) === 0 ? this.#word(REGISTERS + offset / 4) >>> 0 : 0;
  }

  /** Any width at any offset; bytes past the end read 0 (BF-CFG-05, BF-CFG-06). */
  #config(offset: number, size: number): number {
    const at = offset - CONFIG;
    const length = this.#word(LENGTH);
    if (length <= 0) return NOT_MIRRORED;
    if (at >= length - 1) return 0;
    if (at + size > CONFIG_BYTES) return NOT_MIRRORED;
    const shift = 8 * (at & 3);
    const index = CONFIG_WORDS + (at >>> 2);
    let value = this.#word(index) >>> shift;
    if (shift + 8 * size > 32) value |= this.#word(index + 1) << (32 - shift);
    return size === 4 ? value >>> 0 : value & (size === 2 ? 0xffff : 0xff);
  }
}
