/** All vCPUs of a machine as the control thread holds them, and what is asked of them. Used by `machine.ts`. */
import {
  type ControlBlock,
  VCPU_EXITS_MMIO,
  VCPU_EXITS_OTHER,
  VCPU_EXITS_PIO,
  VCPU_PARKED,
  VCPU_REQUEST,
} from "../ipc/control_block.ts";
import type { OwnedVcpu } from "../kvm/vcpu.ts";
import type { VcpuEvents, VcpuHandle, VcpuSetup } from "./vcpu_handle.ts";

/** Exits to this process, by kind. */
export interface ExitCounts {
  /** Accesses to device memory. */
  readonly mmio: number;
  /** Accesses to I/O ports. */
  readonly pio: number;
  /** Everything else. */
  readonly other: number;
}

/** The vCPUs 0 to count - 1. */
export class VcpuGroup {
  readonly #block: ControlBlock;
  readonly #vcpus: readonly VcpuHandle[];

  constructor(block: ControlBlock, vcpus: readonly VcpuHandle[]) {
    this.#block = block;
    this.#vcpus = vcpus;
    for (const vcpu of vcpus) vcpu.load();
  }

  /** Hands each thread its vCPU. One promise each: it rejects with the PlainError when a thread cannot take it. */
  init(vcpus: readonly OwnedVcpu[], setup: VcpuSetup): Promise<void>[] {
    return this.#vcpus.map((vcpu, id) => vcpu.init(vcpus[id] as OwnedVcpu, setup)); // as many as these
  }

  /** Lets all of them run. */
  start(events: VcpuEvents): void {
    for (const vcpu of this.#vcpus) vcpu.start(events);
  }

  /**
   * Asks for `bits` (VCPU_*), and makes every vCPU look. The order counts: a vCPU that meets the kick finds the
   * request.
   */
  request(bits: number): void {
    for (const vcpu of this.#vcpus) {
      this.#change(vcpu.id, (words, index) => Atomics.or(words, index, bits));
      vcpu.kick();
    }
  }

  /** Takes back `bits`. */
  withdraw(bits: number): void {
    for (const vcpu of this.#vcpus) {
      this.#change(vcpu.id, (words, index) => Atomics.and(words, index, ~bits));
    }
  }

  #change(id: number, change: (words: Int32Array, index: number) => void): void {
    const { words } = this.#block;
    const index = this.#block.vcpu(id, VCPU_REQUEST);
    change(words, index);
    Atomics.notify(words, index); // a parked vCPU sleeps on it
  }

  /** While VCPU_PAUSE is requested: whether all are out of the guest, to stay (control_block.ts says why). */
  get parked(): boolean {
    const { words } = this.#block;
    return this.#vcpus.every(({ id }) =>
      Atomics.load(words, this.#block.vcpu(id, VCPU_PARKED)) !== 0
    );
  }

  /** Whether no thread has its vCPU: all have left their run loops, or died, or were never started. */
  get isIdle(): boolean {
    return this.#vcpus.every((vcpu) => vcpu.isIdle);
  }

  /** Messages received from workers. */
  get received(): number {
    return this.#vcpus.reduce((sum, vcpu) => sum + vcpu.received, 0);
  }

  /** Of all vCPUs together, so far. */
  exits(): ExitCounts {
    const count = (word: number) =>
      this.#vcpus.reduce(
        (sum, { id }) => sum + (Atomics.load(this.#block.words, this.#block.vcpu(id, word)) >>> 0),
        0,
      );
    return {
      mmio: count(VCPU_EXITS_MMIO),
      pio: count(VCPU_EXITS_PIO),
      other: count(VCPU_EXITS_OTHER),
    };
  }

  terminate(): void {
    for (const vcpu of this.#vcpus) vcpu.terminate();
  }
}
