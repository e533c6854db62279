/**
 * The I/O threads of this process, as the control side holds them. Each serves the devices of one machine, or of several
 * when there are more machines than processors: a thread more would cost memory and win no time. Used by `io_handle.ts`.
 */
import {
  type IoInit,
  type IoMessage,
  type IoOrder,
  type IoReport,
  type PlainError,
  THREAD_BROKEN,
  THREAD_POSTED,
  THREAD_WORDS,
} from "../ipc/messages.ts";
import { createEpollFd } from "../sys/epoll.ts";
import { createEventfd, signalEventfd } from "../sys/eventfd.ts";
import { keepsProcessAlive } from "./idle_workers.ts";
import type { MachinePlan } from "./plan.ts";
import { ReportInbox } from "./report_inbox.ts";

const threads: IoThreadWorker[] = [];
let machines = 0;

/** A machine's place on an I/O thread. */
export interface IoSeat {
  /** What the thread reports about this machine. */
  readonly inbox: ReportInbox<IoReport>;
  /** Has the thread make the machine's devices. Once. */
  attach(init: IoInit<MachinePlan>): void;
  /** The machine is gone from the thread, or never came. */
  leave(): void;
  /** The machine is gone, and the thread does not answer any more: nobody else is to wait for it. */
  abandon(): void;
}

/** A seat on the thread with the fewest machines; a new thread while there are fewer than processors. */
export function takeIoSeat(listener: (report: IoReport) => void): IoSeat {
  const free = threads.find((thread) => thread.seats === 0);
  const thread = free ??
    (threads.length < navigator.hardwareConcurrency ? new IoThreadWorker() : leastBusy());
  return thread.seat(listener);
}

function leastBusy(): IoThreadWorker {
  return threads.reduce((least, thread) => thread.seats < least.seats ? thread : least);
}

/** Ends the threads that serve no machine. */
export function endIdleIoThreads(): void {
  for (const thread of [...threads]) if (thread.seats === 0) thread.end();
}

class IoThreadWorker {
  readonly #worker = new Worker(new URL("./io_worker.ts", import.meta.url), {
    type: "module",
    name: "dinovisor-io",
  });
  readonly #inboxes = new Map<number, ReportInbox<IoReport>>();
  /** Machines that have a seat, attached or not. */
  #seats = 0;
  /** The process may end while it is there. Deno counts: not to be said twice. */
  #isUnheeded = false;
  #isRetired = false;
  /** Read and written by the thread as well, which may be in its loop. */
  readonly #shared = new Int32Array(new SharedArrayBuffer(4 * THREAD_WORDS));
  readonly #wake = createEventfd();
  readonly #epoll = createEpollFd();

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<IoMessage>) => {
      if (Atomics.load(this.#shared, THREAD_BROKEN) !== 0) this.#retire();
      this.#inboxes.get(data.machine)?.receive(data.report);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault(); // or it would end this isolate, too
      this.#died({ name: "WorkerError", message: `I/O thread: ${event.message}` });
    };
    threads.push(this);
    this.#post({
      type: "begin",
      shared: this.#shared.buffer,
      wakeFd: this.#wake.number,
      epollFd: this.#epoll.number,
    });
  }

  get seats(): number {
    return this.#seats;
  }

  #post(order: IoOrder<MachinePlan>): void {
    Atomics.add(this.#shared, THREAD_POSTED, 1);
    this.#worker.postMessage(order);
    signalEventfd(this.#wake.number); // it takes messages when it leaves its loop
  }

  seat(listener: (report: IoReport) => void): IoSeat {
    if (this.#seats++ === 0 && this.#isUnheeded) {
      this.#isUnheeded = !keepsProcessAlive(this.#worker, true);
    }
    const machine = ++machines;
    const inbox = new ReportInbox(listener);
    this.#inboxes.set(machine, inbox);
    let taken = true;
    const leave = () => {
      if (!taken) return;
      taken = false;
      this.#inboxes.delete(machine);
      if (--this.#seats > 0) return;
      if (this.#isRetired) return this.end();
      this.#isUnheeded = keepsProcessAlive(this.#worker, false);
      if (!this.#isUnheeded) this.end();
    };
    return {
      inbox,
      attach: (init) => this.#post({ type: "attach", machine, init }),
      leave,
      abandon: () => {
        this.#retire();
        leave();
      },
    };
  }

  #died(error: PlainError): void {
    this.#retire();
    for (const inbox of this.#inboxes.values()) inbox.die(error);
  }

  /** Gets no more machines, and ends with the last one it has. */
  #retire(): void {
    const index = threads.indexOf(this);
    if (index >= 0) threads.splice(index, 1);
    this.#isRetired = true;
  }

  end(): void {
    this.#retire();
    this.#worker.terminate();
    this.#wake.close();
    this.#epoll.close();
  }
}
