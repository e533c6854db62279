/**
 * Register accesses that a vCPU thread has the I/O thread do for it: one slot per vCPU in the control block.
 * Owner of the slot: the vCPU while FREE or DONE, the I/O thread while ASKED; the state word is stored by
 * Atomics after the others. The vCPU sleeps meanwhile: its guest's instruction is not complete.
 */
import { type ControlBlock, IO_LOOKS, VCPU_MAILBOX } from "./control_block.ts";

const FREE = 0;
const ASKED = 1;
const DONE = 2;

const STATE = 0;
const WINDOW = 1;
const OFFSET = 2;
const ACCESS = 3;
const VALUE = 4;
const IS_WRITE = 0x100;

/** How long a sleeper goes without looking whether the machine stops. */
const LOOK_UP_MS = 100;
/** Looks at the answer before sleeping, 10 to 30 µs: less than a sleep and a wake-up cost both ends. */
const LOOKS = 1000;

/** The vCPU's end. */
export class MailboxCaller {
  readonly #block: ControlBlock;
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #wake: () => void;
  /** With one processor, looking keeps away the thread that would answer. */
  readonly #looks = navigator.hardwareConcurrency > 1 ? LOOKS : 0;

  /** `wake` makes the I/O thread look (an eventfd). */
  constructor(block: ControlBlock, vcpu: number, wake: () => void) {
    this.#block = block;
    this.#words = block.words;
    this.#base = block.vcpu(vcpu, VCPU_MAILBOX);
    this.#wake = wake;
  }

  /** The value at `offset` of window `window`; 0 when the machine stops meanwhile. */
  read(window: number, offset: number, size: number): number {
    return this.#call(window, offset, size, 0);
  }

  write(window: number, offset: number, size: number, value: number): void {
    this.#call(window, offset, size | IS_WRITE, value);
  }

  #call(window: number, offset: number, access: number, value: number): number {
    const words = this.#words;
    const base = this.#base;
    words[base + WINDOW] = window;
    words[base + OFFSET] = offset;
    words[base + ACCESS] = access;
    words[base + VALUE] = value;
    Atomics.store(words, base + STATE, ASKED);
    if (Atomics.exchange(words, IO_LOOKS, 1) === 0) this.#wake();
    for (let i = 0; i < this.#looks && Atomics.load(words, base + STATE) === ASKED; i++);
    while (Atomics.load(words, base + STATE) === ASKED) {
      Atomics.wait(words, base + STATE, ASKED, LOOK_UP_MS);
      // The I/O thread may have died: then nobody answers, and the stop must not wait for it.
      if (this.#block.stopping) return 0;
    }
    const result = words[base + VALUE] as number;
    Atomics.store(words, base + STATE, FREE);
    return result >>> 0;
  }
}

/** Does what a vCPU asks; answers now or later by calling `MailboxServer.answer`. */
export interface MailboxHandler {
  read(window: number, offset: number, size: number): number;
  /** Calls `done` once, now or later; further calls are ignored. */
  write(window: number, offset: number, size: number, value: number, done: () => void): void;
}

/** The I/O thread's end, for all vCPUs. */
export class MailboxServer {
  readonly #words: Int32Array;
  readonly #bases: readonly number[];
  /** A write being worked on must not be started again by the next wake-up. */
  readonly #busy: boolean[];

  constructor(block: ControlBlock, vcpus: number) {
    this.#words = block.words;
    this.#bases = Array.from({ length: vcpus }, (_, id) => block.vcpu(id, VCPU_MAILBOX));
    this.#busy = this.#bases.map(() => false);
  }

  /** Whether there is a request that is not being worked on. */
  look(): boolean {
    for (let id = 0; id < this.#bases.length; id++) {
      const state = (this.#bases[id] as number) + STATE;
      if (this.#busy[id] === false && Atomics.load(this.#words, state) === ASKED) return true;
    }
    return false;
  }

  /** The I/O thread is about to sleep: who asks from now on wakes it. True: somebody has asked already. */
  arm(): boolean {
    Atomics.store(this.#words, IO_LOOKS, 0);
    return this.look();
  }

  /** Serves every request at hand. */
  serve(handler: MailboxHandler): void {
    for (let id = 0; id < this.#bases.length; id++) {
      const base = this.#bases[id] as number;
      if (this.#busy[id] === true || Atomics.load(this.#words, base + STATE) !== ASKED) continue;
      const window = this.#words[base + WINDOW] as number;
      const offset = this.#words[base + OFFSET] as number;
      const access = this.#words[base + ACCESS] as number;
      const size = access & 0xff;
      if ((access & IS_WRITE) === 0) {
        this.#answer(base, handler.read(window, offset, size));
        continue;
      }
      const value = (this.#words[base + VALUE] as number) >>> 0;
      this.#busy[id] = true;
      let answered = false; // a second answer would be one to the vCPU's next request
      handler.write(window, offset, size, value, () => {
        if (answered) return;
        answered = true;
        this.#busy[id] = false;
        this.#answer(base, 0);
      });
    }
  }

  #answer(base: number, value: number): void {
    this.#words[base + VALUE] = value;
    Atomics.store(this.#words, base + STATE, DONE);
    Atomics.notify(this.#words, base + STATE);
  }
}
