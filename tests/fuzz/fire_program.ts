/** Writes what the tiny guest fires (`tests/guest/fire.c`, "test=fire"): instructions for each of its processors. */

/** As in fire.c. */
const MAGIC = 0x4552_4946;
const OP = {
  end: 0,
  case: 1,
  device: 2,
  write: 3,
  read: 4,
  poke: 5,
  fill: 6,
  negotiate: 7,
  pause: 8,
  flip: 9,
  reset: 10,
  await: 11,
  atMost: 12,
  check: 13,
  barrier: 14,
} as const;

const HASH_START = 2166136261;
const HASH_FACTOR = 16777619;
const HEADER_WORDS = 2;

/** Two values that a place in RAM has in turn, each `times`. */
export interface Flip {
  readonly at: number;
  readonly size: 1 | 2 | 4 | 8;
  readonly one: bigint;
  readonly other: bigint;
  readonly times: number;
}

/** What one processor does, in order. Addresses are those of the guest. */
export class FireProgram {
  #words = new Uint32Array(4096);
  #length = 0;

  #put(...words: readonly number[]): void {
    this.#reserve(words.length);
    for (const word of words) this.#words[this.#length++] = word;
  }

  #reserve(words: number): void {
    if (this.#length + words <= this.#words.length) return;
    const larger = new Uint32Array(2 * (this.#length + words));
    larger.set(this.#words.subarray(0, this.#length));
    this.#words = larger;
  }

  /** A number that reports name. */
  case(number: number): void {
    this.#put(OP.case | number << 8);
  }

  /** Registers are those of device `index` from here on, in the order in which the machine has them. */
  device(index: number): void {
    this.#put(OP.device | index << 8);
  }

  write(offset: number, value: number, size: 1 | 2 | 4 | 8): void {
    this.#put(OP.write | size << 8 | offset << 16, value);
  }

  read(offset: number, size: 1 | 2 | 4 | 8): void {
    this.#put(OP.read | size << 8 | offset << 16);
  }

  poke(at: number, bytes: Uint8Array): void {
    const words = Math.ceil(bytes.length / 4);
    this.#put(OP.poke | bytes.length << 8, ...address(at));
    this.#reserve(words);
    this.#words.fill(0, this.#length, this.#length + words);
    new Uint8Array(this.#words.buffer).set(bytes, this.#length * 4);
    this.#length += words;
  }

  fill(at: number, length: number, value: number): void {
    this.#put(OP.fill | value << 8, ...address(at), length);
  }

  /** Reset to FEATURES_OK, with `mask` of the lowest word of what is offered. */
  negotiate(mask: number): void {
    this.#put(OP.negotiate, mask);
  }

  pause(cycles: number): void {
    this.#put(OP.pause, cycles);
  }

  flip({ at, size, one, other, times }: Flip): void {
    this.#put(OP.flip | size << 8, ...address(at), ...halves(one), ...halves(other), times);
  }

  /** Writes 0 to the status and waits: a device that takes seconds fails. */
  reset(): void {
    this.#put(OP.reset);
  }

  /** Waits until the 16 bits at `at` are `value`; seconds later that is a failure. */
  await(at: number, value: number): void {
    this.#put(OP.await | value << 16, ...address(at));
  }

  /** Fails when the 16 bits at `at` are more than `value`. */
  atMost(at: number, value: number): void {
    this.#put(OP.atMost | value << 16, ...address(at));
  }

  /** Fails unless RAM from `at` on is `bytes`. */
  check(at: number, bytes: Uint8Array): void {
    this.#put(OP.check, ...address(at), bytes.length, hash(bytes));
  }

  /** Waits for the other processors. */
  barrier(): void {
    this.#put(OP.barrier);
  }

  /** All of it, with its end. */
  finished(): Uint32Array {
    this.#put(OP.end);
    return this.#words.slice(0, this.#length);
  }
}

function address(at: number): [number, number] {
  return [at >>> 0, Math.floor(at / 2 ** 32)];
}

function halves(value: bigint): [number, number] {
  return [Number(value & 0xffff_ffffn), Number(value >> 32n)];
}

function hash(bytes: Uint8Array): number {
  let value = HASH_START;
  for (let i = 0; i < bytes.length; i++) value = Math.imul(value ^ (bytes[i] ?? 0), HASH_FACTOR);
  return value >>> 0;
}

/** The initrd for `programs`, one for each processor. */
export function fireImage(programs: readonly FireProgram[]): Uint8Array<ArrayBuffer> {
  const parts = programs.map((program) => program.finished());
  const start = HEADER_WORDS + parts.length;
  const words = new Uint32Array(parts.reduce((sum, part) => sum + part.length, start));
  words.set([MAGIC, parts.length]);
  let at = start;
  parts.forEach((part, i) => {
    words[HEADER_WORDS + i] = at * 4;
    words.set(part, at);
    at += part.length;
  });
  return new Uint8Array(words.buffer);
}
