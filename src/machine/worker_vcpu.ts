/** A vCPU on a thread of its own: messages to and from `vcpu_worker.ts`, and the kicks that interrupt it. */
import type { BootState } from "../arch/types.ts";
import type { VcpuReport } from "../ipc/messages.ts";
import { RunPage } from "../kvm/run_page.ts";
import { bytesAt } from "../sys/mmap.ts";
import { kickThread } from "../sys/thread.ts";
import type { VcpuEvents, VcpuHandle, VcpuSetup } from "./vcpu_handle.ts";
import { WorkerHandle } from "./worker_handle.ts";

/** Bytes of the run page that a kick needs: `kvm_run` itself. */
const RUN_PAGE_BYTES = 4096;

/** Its worker loads its modules from the start. */
export class WorkerVcpu implements VcpuHandle {
  readonly id: number;
  readonly #worker: WorkerHandle<VcpuReport>;
  #threadId = 0;
  #runPage: RunPage | undefined;
  #done = false;

  /** `parked` is called when it says that it has parked. */
  constructor(id: number, parked: () => void) {
    this.id = id;
    this.#worker = new WorkerHandle(
      new URL("./vcpu_worker.ts", import.meta.url),
      `dinovisor-vcpu${id}`,
      (report) => report.type === "parked" && parked(),
    );
  }

  get done(): boolean {
    return this.#done;
  }

  async init(setup: VcpuSetup): Promise<void> {
    const made = this.#worker.nextOrDeath("ready");
    this.#worker.post({ ...setup, id: this.id });
    const { threadId, runPageAddress } = await made;
    this.#threadId = threadId;
    this.#runPage = new RunPage(bytesAt(runPageAddress, RUN_PAGE_BYTES));
  }

  start(state: BootState | undefined, events: VcpuEvents): void {
    this.#worker.onDeath((error) => {
      this.#done = true;
      events.died(error);
    });
    this.#worker.next("exited").then(({ exit, startedAt }) => {
      this.#done = true;
      events.exited(this.id, exit, startedAt);
    });
    this.#worker.post({ type: "start", state });
  }

  kick(): void {
    if (this.#runPage === undefined || this.#done) return;
    this.#runPage.immediateExit = true;
    kickThread(this.#threadId);
  }

  async leave(): Promise<void> {
    const answer = this.#worker.nextOrDeath("left");
    this.#worker.post({ type: "leave" });
    await answer.catch(() => {}); // the dead have nothing to say
  }

  terminate(): void {
    this.#worker.terminate();
  }
}
