/**
 * The worker of an I/O thread: the event loop, and the machines whose devices it serves. It leaves the loop when it has
 * no machine, and when a message waits.
 */
/// <reference lib="deno.worker" />
import { EPOLLIN } from "../abi/linux.ts";
import { ControlBlock, REPORTS, STOPPING } from "../ipc/control_block.ts";
import {
  type IoInit,
  type IoOrder,
  type IoReport,
  plainError,
  THREAD_BROKEN,
  THREAD_POSTED,
} from "../ipc/messages.ts";
import { EpollLoop } from "../loop/epoll_loop.ts";
import type { EventLoop } from "../loop/event_loop.ts";
import { OwnedLoop } from "../loop/owned_loop.ts";
import { Epoll } from "../sys/epoll.ts";
import { drainEventfd } from "../sys/eventfd.ts";
import type { FdNumber } from "../sys/fd.ts";
import { kickThread, refuseFileSizeSignal } from "../sys/thread.ts";
import { IoThread } from "./io_thread.ts";
import type { MachinePlan } from "./plan.ts";

declare const self: DedicatedWorkerGlobalScope;

let thread: Thread | undefined;

self.onmessage = ({ data }: MessageEvent<IoOrder<MachinePlan>>) => {
  if (data.type === "begin") thread = new Thread(data);
  else thread?.attach(data.machine, data.init);
};

/** The loop, and who is served in it. */
class Thread {
  readonly #loop: EpollLoop;
  readonly #shared: Int32Array;
  /** By their numbers. */
  readonly #machines = new Map<number, MachineHere>();
  /** Messages taken; the first one made this. */
  #taken = 1;

  constructor(begin: Extract<IoOrder<MachinePlan>, { type: "begin" }>) {
    refuseFileSizeSignal();
    const wakeFd = begin.wakeFd as FdNumber;
    this.#shared = new Int32Array(begin.shared);
    this.#loop = new EpollLoop(undefined, new Epoll(begin.epollFd as FdNumber));
    this.#loop.watch(wakeFd, EPOLLIN, {
      ready: () => {
        drainEventfd(wakeFd);
        this.#loop.stop();
      },
    });
  }

  attach(number: number, init: IoInit<MachinePlan>): void {
    this.#taken++;
    const machine = new MachineHere(number, init, this.#loop, () => this.#left(number));
    this.#machines.set(number, machine);
    try {
      // A message that was posted meanwhile comes after this one has been served: not from inside the loop.
      while (this.#machines.size > 0 && Atomics.load(this.#shared, THREAD_POSTED) === this.#taken) {
        this.#loop.run();
      }
    } catch (error) {
      // Not what a machine did, that is its own loop's affair: nobody here can be served any more. Each lets go of what it
      // holds, which nobody else knows of.
      Atomics.store(this.#shared, THREAD_BROKEN, 1);
      for (const machine of this.#machines.values()) machine.fail(error);
      this.#machines.clear();
    }
  }

  #left(number: number): void {
    // Behind everything this turn still has to do.
    this.#loop.defer(() => {
      this.#machines.delete(number);
      if (this.#machines.size === 0) this.#loop.stop();
    });
  }
}

/** A machine's devices, from `attach` to the report that they are gone. */
class MachineHere {
  readonly #number: number;
  readonly #init: IoInit<MachinePlan>;
  readonly #block: ControlBlock;
  readonly #loop: OwnedLoop;
  readonly #left: () => void;
  #devices: IoThread | undefined;
  #hasLeft = false;

  constructor(number: number, init: IoInit<MachinePlan>, loop: EventLoop, left: () => void) {
    this.#number = number;
    this.#init = init;
    this.#block = new ControlBlock(init.block, init);
    this.#left = left;
    this.#loop = new OwnedLoop(loop, (error) => this.fail(error));
    try {
      const report = (report: IoReport) => this.#report(report);
      this.#devices = new IoThread(init, report, this.#loop, () => this.#stopped());
      report({ type: "ready" });
    } catch (error) {
      this.fail(error);
    }
  }

  #report(report: IoReport): void {
    const { controlThread } = this.#init;
    if (controlThread !== undefined) Atomics.add(this.#block.words, REPORTS, 1);
    self.postMessage({ machine: this.#number, report });
    if (controlThread !== undefined) kickThread(controlThread); // it may be in the guest
  }

  #stopped(): void {
    const { panic, isBusy = false } = this.#devices ?? {};
    this.#devices?.close();
    this.#leave({ type: "stopped", panic, isBusy });
  }

  /** Lets go of everything, and says why. Once: the first error counts. */
  fail(error: unknown): void {
    if (this.#hasLeft) return;
    const isBusy = this.#devices?.isBusy ?? false;
    // A vCPU may be waiting for an answer, and be the one to hear the report.
    Atomics.store(this.#block.words, STOPPING, 1);
    try {
      using _loop = this.#loop; // also when there are no devices to do it
      this.#devices?.close();
    } catch {
      // the first error is the one to report
    }
    this.#leave({ type: "failed", error: plainError(error), isBusy });
  }

  #leave(lastWords: IoReport): void {
    this.#hasLeft = true;
    this.#report(lastWords);
    this.#left();
  }
}
