/** A vCPU on a thread of its own: messages to and from `vcpu_worker.ts`, and the kicks that interrupt it. */
import type { BootState } from "../arch/types.ts";
import type { VcpuReport } from "../ipc/messages.ts";
import { RunPage } from "../kvm/run_page.ts";
import { bytesAt } from "../sys/mmap.ts";
import { type KickTarget, kickThread } from "../sys/thread.ts";
import { IdleWorkers } from "./idle_workers.ts";
import { ReportInbox } from "./report_inbox.ts";
import type { VcpuEvents, VcpuHandle, VcpuSetup } from "./vcpu_handle.ts";

/** Bytes of the run page that a kick needs: `kvm_run` itself. */
const RUN_PAGE_BYTES = 4096;

/** Those that have left their machines. */
export const idleVcpuWorkers: IdleWorkers = new IdleWorkers(
  () => new URL("./vcpu_worker.ts", import.meta.url),
  "dinovisor-vcpu",
);

/** Its worker loads its modules from the start, unless it is one that has served before. */
export class WorkerVcpu implements VcpuHandle {
  readonly id: number;
  readonly #worker = idleVcpuWorkers.take();
  readonly #inbox: ReportInbox<VcpuReport>;
  /** What a kick needs, once it is made. */
  #made: { readonly thread: KickTarget; readonly runPage: RunPage } | undefined;
  #done = false;
  /** Has said goodbye, and holds nothing of the machine any more. */
  #hasLeft = false;

  /** `parked` is called when it says that it has parked. */
  constructor(id: number, parked: () => void) {
    this.id = id;
    this.#inbox = new ReportInbox((report) => report.type === "parked" && parked());
    this.#worker.onmessage = ({ data }: MessageEvent<VcpuReport>) => this.#inbox.receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // or it would end this isolate, too
      this.#inbox.die({ name: "WorkerError", message: `vCPU ${id}: ${event.message}` });
    };
  }

  get done(): boolean {
    return this.#done;
  }

  get received(): number {
    return this.#inbox.received;
  }

  async init(setup: VcpuSetup): Promise<void> {
    const made = this.#inbox.nextOrDeath("ready");
    this.#worker.postMessage({ ...setup, id: this.id });
    const { thread, runPageAddress } = await made;
    this.#made = { thread, runPage: new RunPage(bytesAt(runPageAddress, RUN_PAGE_BYTES)) };
  }

  start(state: BootState | undefined, events: VcpuEvents): void {
    this.#inbox.onDeath((error) => {
      this.#done = true;
      events.died(error);
    });
    this.#inbox.next("exited").then(({ exit, startedAt }) => {
      this.#done = true;
      events.exited(this.id, exit, startedAt);
    });
    this.#worker.postMessage({ type: "start", state });
  }

  kick(): void {
    if (this.#made === undefined || this.#done) return;
    this.#made.runPage.immediateExit = true;
    kickThread(this.#made.thread);
  }

  async leave(): Promise<void> {
    // One that has failed, and could say so, still lets go of what it holds; one that is gone has nothing to say.
    const canAnswer = this.#inbox.lastWords !== undefined;
    const answer = canAnswer ? this.#inbox.next("left") : this.#inbox.nextOrDeath("left");
    this.#worker.postMessage({ type: "leave" });
    await answer.then(() => this.#hasLeft = true, () => {});
  }

  terminate(): void {
    if (this.#hasLeft && this.#inbox.dead === undefined) idleVcpuWorkers.giveBack(this.#worker);
    else this.#worker.terminate();
  }
}
