/** All vCPUs of a machine as the control thread holds them, and what is asked of them. Used by `machine.ts`. */
import type { BootState } from "../arch/types.ts";
import {
  type ControlBlock,
  VCPU_EXITS_MMIO,
  VCPU_EXITS_OTHER,
  VCPU_EXITS_PIO,
  VCPU_PARKED,
  VCPU_REQUEST,
} from "../ipc/control_block.ts";
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
  }

  /** Has each vCPU made. One promise each: it rejects with the PlainError when that cannot be done. */
  init(setup: VcpuSetup): Promise<void>[] {
    return this.#vcpus.map((vcpu) => vcpu.init(setup));
  }

  /** Lets all of them run. Only the boot processor gets a state: the others wait inside KVM for its INIT and SIPI. */
  start(state: BootState | undefined, events: VcpuEvents): void {
    for (const vcpu of this.#vcpus) vcpu.start(vcpu.id === 0 ? state : undefined, events);
  }

  /**
   * Asks for `bits` (VCPU_*), and makes every vCPU look. The order counts: a vCPU that meets the kick finds the
   * request.
   */
  request(bits: number): void {
    for (const vcpu of this.#vcpus) {
      if (vcpu.done) continue;
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

  /** Whether all have left their run loops or died. */
  get done(): boolean {
    return this.#vcpus.every((vcpu) => vcpu.done);
  }

  /** Messages received from workers. */
  get received(): number {
    return this.#vcpus.reduce((sum, vcpu) => sum + vcpu.received, 0);
  }

  /** No vCPU will be kicked any more: they may let go of their run pages. Resolves when all have, or are dead. */
  async dismiss(): Promise<void> {
    await Promise.all(this.#vcpus.map((vcpu) => vcpu.leave()));
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
