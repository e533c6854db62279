/**
 * The I/O thread as the control side holds it: started at once, or when it is first needed. Used by `machine.ts`.
 */
import { type ControlBlock, IO_REQUEST, IO_STOP } from "../ipc/control_block.ts";
import type { IoInit, IoReport, PlainError } from "../ipc/messages.ts";
import { signalEventfd } from "../sys/eventfd.ts";
import type { FdNumber } from "../sys/fd.ts";
import type { MachinePlan } from "./plan.ts";
import { atMost } from "./time_limit.ts";
import { WorkerHandle } from "./worker_handle.ts";

/** How long the I/O thread may take to finish: more than its own patience. */
const IO_STOP_MS = 15_000;

/** What the I/O thread is told to be. */
export type IoSetup = IoInit<MachinePlan>;

/** One machine's I/O thread. */
export class IoHandle {
  readonly #block: ControlBlock;
  readonly #wake: FdNumber;
  readonly #heard: (report: IoReport) => void;
  #worker: WorkerHandle<IoReport> | undefined;
  #setup: IoSetup | undefined;
  /** `init` has been posted: from then on it holds descriptors. */
  #isUp = false;
  #died: ((error: PlainError) => void) | undefined;

  /** `wake` is the eventfd its loop watches; `heard` gets what it reports. */
  constructor(block: ControlBlock, wake: FdNumber, heard: (report: IoReport) => void) {
    this.#block = block;
    this.#wake = wake;
    this.#heard = heard;
  }

  /** Starts the worker, so that it loads its modules while this thread does other things. */
  load(): void {
    this.#worker ??= new WorkerHandle(
      new URL("./io_worker.ts", import.meta.url),
      "dinovisor-io",
      this.#heard,
    );
  }

  /** What it is to be once it is needed. */
  prepare(setup: IoSetup): void {
    this.#setup = setup;
  }

  /** Has it make its devices, unless it has been asked to. Resolves when they are there; rejects with the PlainError. */
  async start(): Promise<void> {
    if (this.#isUp || this.#setup === undefined) return;
    this.#isUp = true;
    this.load();
    const worker = this.#worker;
    if (worker === undefined) return;
    if (this.#died !== undefined) worker.onDeath(this.#died);
    const ready = worker.nextOrDeath("ready");
    worker.post(this.#setup);
    await ready;
  }

  /** Calls `died` at its death, at once when it is dead. */
  onDeath(died: (error: PlainError) => void): void {
    this.#died = died;
    this.#worker?.onDeath(died);
  }

  /** Asks for IO_* bits. */
  ask(request: number): void {
    Atomics.or(this.#block.words, IO_REQUEST, request);
    signalEventfd(this.#wake);
  }

  /** Has it finish what devices have in flight and leave. Resolves to what the kernel said when it died, if it did. */
  async stop(): Promise<string | undefined> {
    const worker = this.#worker;
    if (worker === undefined || !this.#isUp || worker.dead !== undefined) return undefined;
    let panic: string | undefined;
    const stopped = worker.next("stopped").then((report) => panic = report.panic);
    const died = new Promise((resolve) => worker.onDeath(resolve));
    this.ask(IO_STOP);
    await atMost(IO_STOP_MS, Promise.race([stopped, died]));
    return panic;
  }

  terminate(): void {
    this.#worker?.terminate();
  }
}
