/**
 * virtio-mmio's interrupt registers (spec 4.2.2: InterruptStatus, InterruptACK), the hot words of the transport:
 * the guest reads and acknowledges them once per interrupt, so they are served on the vCPU's own thread and
 * never forwarded.
 *
 * Shared between the I/O thread (`raise`) and every vCPU thread (`status`, `acknowledge`); one 32-bit word per
 * device in a SharedArrayBuffer, changed by Atomics only. The bit is set before the line is raised (MMIO-27).
 */
import { VIRTIO_INT_CONFIG, VIRTIO_INT_VRING } from "../src/abi/virtio.ts";

/** An interrupt line of the machine: edge, `raise` may be called on any thread. */
export interface IrqLine {
  raise(): void;
}

/** One device's InterruptStatus, as seen from one thread. */
export class MmioInterrupt {
  readonly #words: Int32Array;
  readonly #index: number;
  readonly #line: IrqLine;

  /** `words[index]` is the status word, in memory shared with the other threads. */
  constructor(words: Int32Array, index: number, line: IrqLine) {
    this.#words = words;
    this.#index = index;
    this.#line = line;
  }

  /** Interrupt.queue: which queue is not told on this transport. */
  queue(): void {
    Atomics.or(this.#words, this.#index, VIRTIO_INT_VRING);
    this.#line.raise();
  }

  config(): void {
    Atomics.or(this.#words, this.#index, VIRTIO_INT_CONFIG);
    this.#line.raise();
  }

  /** The register's value. */
  status(): number {
    return Atomics.load(this.#words, this.#index);
  }

  /** Clears exactly `bits`. The line is an edge: a bit left over gets an edge of its own (MMIO-26). */
  acknowledge(bits: number): void {
    const before = Atomics.and(this.#words, this.#index, ~bits);
    if ((before & bits) !== 0 && (before & ~bits) !== 0) this.#line.raise();
  }

  clear(): void {
    Atomics.store(this.#words, this.#index, 0);
  }
}
