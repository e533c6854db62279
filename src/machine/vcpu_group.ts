/**
 * All vCPUs of a machine as the control thread holds them: their workers, what is asked of them, and the kicks
 * that make them look. Used by `machine.ts`.
 */
import type { BootState } from "../arch/types.ts";
import {
  type ControlBlock,
  VCPU_EXITS_MMIO,
  VCPU_EXITS_OTHER,
  VCPU_EXITS_PIO,
  VCPU_PARKED,
  VCPU_REQUEST,
} from "../ipc/control_block.ts";
import type { PlainError, VcpuExit, VcpuInit, VcpuReport } from "../ipc/messages.ts";
import { RunPage } from "../kvm/run_page.ts";
import { bytesAt } from "../sys/mmap.ts";
import { kickThread } from "../sys/thread.ts";
import type { Window } from "./windows.ts";
import { WorkerHandle } from "./worker_handle.ts";

/** One vCPU's worker, and what is needed to kick it. */
interface VcpuHandle {
  readonly id: number;
  readonly worker: WorkerHandle<VcpuReport>;
  threadId: number;
  runPage: RunPage | undefined;
  done: boolean;
}

/** What running vCPUs tell. */
export interface VcpuEvents {
  /** A vCPU has left its run loop for good. `startedAt`: when it first entered the guest, in epoch milliseconds. */
  exited(id: number, exit: VcpuExit, startedAt: number): void;
  /** A vCPU's thread failed. */
  died(error: PlainError): void;
}

/** Exits to this process, by kind. */
export interface ExitCounts {
  /** Accesses to device memory. */
  readonly mmio: number;
  /** Accesses to I/O ports. */
  readonly pio: number;
  /** Everything else. */
  readonly other: number;
}

/** The vCPUs 0 to count - 1. Their workers load their modules from the start. */
export class VcpuGroup {
  readonly #block: ControlBlock;
  readonly #vcpus: readonly VcpuHandle[];

  /** `parked` is called whenever a vCPU says that it has parked. */
  constructor(block: ControlBlock, count: number, parked: () => void) {
    this.#block = block;
    this.#vcpus = Array.from({ length: count }, (_, id) => ({
      id,
      worker: new WorkerHandle<VcpuReport>(
        new URL("./vcpu_worker.ts", import.meta.url),
        `dinovisor-vcpu${id}`,
        (report) => report.type === "parked" && parked(),
      ),
      threadId: 0,
      runPage: undefined,
      done: false,
    }));
  }

  /** Has each worker make its vCPU. */
  init(common: Omit<VcpuInit<readonly Window[]>, "id">): void {
    for (const { id, worker } of this.#vcpus) worker.post({ ...common, id });
  }

  /** One promise a vCPU: resolves when it is made, rejects with the PlainError when it cannot be. */
  ready(): Promise<void>[] {
    return this.#vcpus.map(async (vcpu) => {
      const { threadId, runPageAddress } = await vcpu.worker.nextOrDeath("ready");
      vcpu.threadId = threadId;
      vcpu.runPage = new RunPage(bytesAt(runPageAddress, 4096));
    });
  }

  /** Lets all of them run. Only the boot processor gets a state: the others wait inside KVM for its INIT and SIPI. */
  start(state: BootState | undefined, events: VcpuEvents): void {
    for (const vcpu of this.#vcpus) {
      vcpu.worker.onDeath((error) => {
        vcpu.done = true;
        events.died(error);
      });
      vcpu.worker.next("exited").then(({ exit, startedAt }) => {
        vcpu.done = true;
        events.exited(vcpu.id, exit, startedAt);
      });
      vcpu.worker.post({ type: "start", state: vcpu.id === 0 ? state : undefined });
    }
  }

  /**
   * Asks for `bits` (VCPU_*), and makes every vCPU look, wherever it is: parked, in the guest, or on its way in or
   * out. The order counts: a vCPU that meets the kick finds the request.
   */
  request(bits: number): void {
    for (const { id, runPage, threadId, done } of this.#vcpus) {
      if (done) continue;
      this.#change(id, (words, index) => Atomics.or(words, index, bits));
      if (runPage === undefined) continue;
      runPage.immediateExit = true;
      kickThread(threadId);
    }
  }

  /** Takes back `bits`. */
  withdraw(bits: number): void {
    for (const { id } of this.#vcpus) {
      this.#change(id, (words, index) => Atomics.and(words, index, ~bits));
    }
  }

  #change(id: number, change: (words: Int32Array, index: number) => void): void {
    const { words } = this.#block;
    const index = this.#block.vcpu(id, VCPU_REQUEST);
    change(words, index);
    Atomics.notify(words, index);
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

  /** No vCPU will be kicked any more: they may let go of their run pages. Resolves when all have, or are dead. */
  async dismiss(): Promise<void> {
    await Promise.all(this.#vcpus.map(({ worker }) => {
      const answer = worker.nextOrDeath("left").catch(() => {}); // the dead have nothing to say
      worker.post({ type: "leave" });
      return answer;
    }));
  }

  /** Of all vCPUs together; each adds its own when it leaves its run loop. */
  exits(): ExitCounts {
    const count = (word: number) =>
      this.#vcpus.reduce(
        (sum, { id }) => sum + Atomics.load(this.#block.words, this.#block.vcpu(id, word)),
        0,
      );
    return {
      mmio: count(VCPU_EXITS_MMIO),
      pio: count(VCPU_EXITS_PIO),
      other: count(VCPU_EXITS_OTHER),
    };
  }

  terminate(): void {
    for (const { worker } of this.#vcpus) worker.terminate();
  }
}
