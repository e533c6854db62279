/** All vCPUs of a machine as the control thread holds them, and what is asked of them. Used by `machine.ts`. */
import {
  type ControlBlock,
  VCPU_EXITS_MMIO,
  VCPU_EXITS_OTHER,
  VCPU_EXITS_PIO,
  VCPU_PARKED,
  VCPU_REQUEST,
} from "../ipc/control_block.ts";
import type { PlainError } from "../ipc/messages.ts";
import type { OwnedVcpu } from "../kvm/vcpu.ts";
import type { StartOfThread } from "./placement.ts";
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

/** The vCPUs 0 to count - 1. The threads of all, or of all but the first, may be left for later. */
export class VcpuGroup {
  readonly #block: ControlBlock;
  readonly #vcpus: readonly VcpuHandle[];
  readonly #prompt: readonly VcpuHandle[];
  readonly #late: VcpuHandle[];
  /** From `init` on. */
  #handOver: (vcpu: VcpuHandle) => Promise<void> = () => Promise.resolve();

  /** `othersWhen`: when the threads of all but the first start; the others are loaded here. */
  constructor(block: ControlBlock, vcpus: readonly VcpuHandle[], othersWhen: StartOfThread) {
    this.#block = block;
    this.#vcpus = vcpus;
    const prompt = othersWhen === "at once" ? vcpus.length : 1;
    this.#prompt = vcpus.slice(0, prompt);
    this.#late = vcpus.slice(prompt);
    for (const vcpu of this.#prompt) vcpu.load();
  }

  /**
   * Hands each thread that is there its vCPU, of which there are as many as in this group. One promise each: it rejects
   * with the PlainError when a thread cannot take it.
   */
  init(vcpus: readonly OwnedVcpu[], setup: VcpuSetup): Promise<void>[] {
    this.#handOver = (vcpu) => vcpu.init(vcpus[vcpu.id] as OwnedVcpu, setup);
    return this.#prompt.map(this.#handOver);
  }

  /** Lets them run. */
  start(events: VcpuEvents): void {
    for (const vcpu of this.#prompt) vcpu.start(events);
  }

  /** After `start`: starts the threads that were left for later, and lets their vCPUs run. Once; then nothing happens. */
  startLate(events: VcpuEvents): void {
    for (const vcpu of this.#late.splice(0)) {
      this.#handOver(vcpu).then(
        () => vcpu.start(events), // also when the machine is about to end: it finds the request
        (error: PlainError) => events.died(error),
      );
    }
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
    return this.#vcpus.every(({ id, isIdle }) =>
      isIdle || Atomics.load(words, this.#block.vcpu(id, VCPU_PARKED)) !== 0
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
