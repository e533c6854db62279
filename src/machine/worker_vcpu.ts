/** A vCPU on a thread of its own: messages to and from `vcpu_worker.ts`, and the kicks that interrupt it. */
import type { VcpuReport } from "../ipc/messages.ts";
import type { RunPage } from "../kvm/run_page.ts";
import type { OwnedVcpu } from "../kvm/vcpu.ts";
import { type KickTarget, kickThread } from "../sys/thread.ts";
import { IdleWorkers } from "./idle_workers.ts";
import { ReportInbox } from "./report_inbox.ts";
import type { VcpuEvents, VcpuHandle, VcpuSetup } from "./vcpu_handle.ts";

/** Those that have left their machines. */
export const idleVcpuWorkers: IdleWorkers = new IdleWorkers(
  () => new URL("./vcpu_worker.ts", import.meta.url),
  "dinovisor-vcpu",
);

/**
 *   idle ── init ──▶ taking ──▶ ready ── start ──▶ running ──▶ idle
 *                      └──────── it dies: idle ───────┘
 */
type State = "idle" | "taking" | "ready" | "running";

/** It has no worker before `load` or `init`. */
export class WorkerVcpu implements VcpuHandle {
  readonly id: number;
  readonly #inbox: ReportInbox<VcpuReport>;
  #worker: Worker | undefined;
  #state: State = "idle";
  /** What a kick needs, from `ready` on. */
  #target: { readonly thread: KickTarget; readonly runPage: RunPage } | undefined;

  /** `parked` is called when it says that it has parked. */
  constructor(id: number, parked: () => void) {
    this.id = id;
    this.#inbox = new ReportInbox((report) => report.type === "parked" && parked());
    this.#inbox.onDeath(() => this.#state = "idle");
  }

  load(): void {
    this.#loaded();
  }

  #loaded(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = this.#worker = idleVcpuWorkers.take();
    worker.onmessage = ({ data }: MessageEvent<VcpuReport>) => this.#inbox.receive(data);
    worker.onerror = (event) => {
      event.preventDefault(); // or it would end this isolate, too
      this.#inbox.die({ name: "WorkerError", message: `vCPU ${this.id}: ${event.message}` });
    };
    return worker;
  }

  get isIdle(): boolean {
    return this.#state === "idle";
  }

  get received(): number {
    return this.#inbox.received;
  }

  async init({ place, vcpu }: OwnedVcpu, setup: VcpuSetup): Promise<void> {
    this.#state = "taking";
    const ready = this.#inbox.nextOrDeath("ready");
    this.#loaded().postMessage({ ...setup, place });
    const { thread } = await ready;
    this.#target = { thread, runPage: vcpu.page };
    this.#state = "ready";
  }

  start(events: VcpuEvents): void {
    if (this.#inbox.dead === undefined) this.#state = "running";
    this.#inbox.onDeath((error) => events.died(error));
    this.#inbox.next("exited").then(({ exit, startedAt }) => {
      this.#state = "idle";
      events.exited(this.id, exit, startedAt);
    });
    this.#loaded().postMessage({ type: "start" });
  }

  kick(): void {
    if (this.#target === undefined || this.#state !== "running") return;
    this.#target.runPage.immediateExit = true;
    kickThread(this.#target.thread);
  }

  terminate(): void {
    if (this.#worker === undefined) return;
    const hasAnswered = this.#target !== undefined; // or what it says later would be heard by the next machine
    if (hasAnswered && this.#inbox.dead === undefined) idleVcpuWorkers.giveBack(this.#worker);
    else this.#worker.terminate();
  }
}
