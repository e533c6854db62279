/** A machine's I/O thread as the machine holds it: started at once, or when it is first needed. Used by `machine.ts`. */
import { type ControlBlock, IO_REQUEST, IO_STOP } from "../ipc/control_block.ts";
import type { IoInit, IoReport, PlainError } from "../ipc/messages.ts";
import { signalEventfd } from "../sys/eventfd.ts";
import type { FdNumber } from "../sys/fd.ts";
import { type IoSeat, takeIoSeat } from "./io_threads.ts";
import type { MachinePlan } from "./plan.ts";
import { atMost } from "./time_limit.ts";

/** How long the I/O thread may take to finish: more than its own patience. */
const IO_STOP_MS = 15_000;

/** What the I/O thread is told about a machine. */
export type IoSetup = IoInit<MachinePlan>;

/** One machine's side of an I/O thread. */
export class IoHandle {
  readonly #block: ControlBlock;
  readonly #wake: FdNumber;
  readonly #heard: (report: IoReport) => void;
  #seat: IoSeat | undefined;
  #setup: IoSetup | undefined;
  /** It has been told of the machine: from then on it holds descriptors. */
  #isAttached = false;
  #answers = true;
  /** It has said that nothing of the machine's is in use any more. */
  #hasLetGo = false;
  #died: ((error: PlainError) => void) | undefined;

  /** `wake` is the eventfd its loop watches; `heard` gets what it reports. */
  constructor(block: ControlBlock, wake: FdNumber, heard: (report: IoReport) => void) {
    this.#block = block;
    this.#wake = wake;
    this.#heard = heard;
  }

  /** Starts the thread, if need be, so that it loads its modules while this one does other things. */
  load(): void {
    this.#seat ??= takeIoSeat(this.#heard);
  }

  /** What it is to serve once it is needed. */
  prepare(setup: IoSetup): void {
    this.#setup = setup;
  }

  /** Has it make its devices, unless it has been asked to. Resolves when they are there; rejects with the PlainError. */
  async start(): Promise<void> {
    if (this.#isAttached || this.#setup === undefined) return;
    this.#isAttached = true;
    const seat = this.#seat ??= takeIoSeat(this.#heard);
    if (this.#died !== undefined) seat.inbox.onDeath(this.#died);
    const ready = seat.inbox.nextOrDeath("ready");
    seat.attach(this.#setup);
    await ready;
  }

  /** Messages received about this machine. */
  get received(): number {
    return this.#seat?.inbox.received ?? 0;
  }

  /** Calls `died` when it fails this machine, at once when it has. */
  onDeath(died: (error: PlainError) => void): void {
    this.#died = died;
    this.#seat?.inbox.onDeath(died);
  }

  /** Asks for IO_* bits. */
  ask(request: number): void {
    Atomics.or(this.#block.words, IO_REQUEST, request);
    signalEventfd(this.#wake);
  }

  /** Has it finish what devices have in flight and leave. Resolves to what the kernel said when it died, if it did. */
  async stop(): Promise<string | undefined> {
    const inbox = this.#seat?.inbox;
    if (inbox === undefined || !this.#isAttached || inbox.dead !== undefined) return undefined;
    this.#answers = false;
    let panic: string | undefined;
    const stopped = inbox.nextOrDeath("stopped").then(
      (report) => {
        panic = report.panic;
        this.#hasLetGo = !report.isBusy;
      },
      () => {}, // it failed instead: also an answer
    );
    this.ask(IO_STOP);
    await atMost(IO_STOP_MS, stopped.then(() => this.#answers = true));
    return panic;
  }

  /** Whether it was asked to stop and has not: what it uses, it may go on using. */
  get isStuck(): boolean {
    return !this.#answers;
  }

  /** Whether its thread, or the kernel for it, may still read and write the guest's memory. */
  get holdsMemory(): boolean {
    if (!this.#isAttached || this.#hasLetGo) return false;
    const said = this.#seat?.inbox.lastWords;
    return said?.type !== "failed" || said.isBusy;
  }

  /** The machine is gone. */
  release(): void {
    if (this.#answers) this.#seat?.leave();
    else this.#seat?.abandon();
  }
}
