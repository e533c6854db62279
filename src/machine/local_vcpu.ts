/**
 * A vCPU on the control thread itself, for a process that has nothing else to do than to run one guest: it needs no
 * worker before the guest's first instruction. While the guest runs, this isolate's event loop stands still; it gets
 * a turn whenever something interrupts the guest:
 *  - a message from a worker, which kicks this thread after posting it;
 *  - a signal, which the kernel gives to the main thread if it can;
 *  - a tick, for timers, for messages of workers that died, and for signals that another thread has taken.
 */
import {
  ControlBlock,
  VCPU_PARKED,
  VCPU_PAUSE,
  VCPU_REQUEST,
  VCPU_STOP,
} from "../ipc/control_block.ts";
import { plainError, type VcpuExit } from "../ipc/messages.ts";
import type { OwnedVcpu } from "../kvm/vcpu.ts";
import { KickTimer } from "../sys/kick_timer.ts";
import { InvariantError } from "../virtio/faults.ts";
import type { VcpuEvents, VcpuHandle, VcpuSetup } from "./vcpu_handle.ts";
import { VcpuThread } from "./vcpu_thread.ts";

/** How long the event loop may stand still: what a timer of this isolate may be late. */
const TICK_MS = 100;
/**
 * Until the first turn, in which the machine starts the threads that it has left for later. A guest that has run for so
 * long is about to need them, and has better things to do than to wait; one that ends at once, as tests do, has ended.
 */
const FIRST_TICK_MS = 5;
/** Turns of the event loop after each interruption: what a signal has woken comes in one and is handled in the next. */
const TURNS = 3;
/** The most turns, about 30 ms, for messages that were posted: one of a worker that has died never comes. */
const MAX_TURNS = 1000;

/** What it asks of the machine. */
export interface LocalVcpuHost {
  /** It has parked. */
  parked(): void;
  /** There is work for the I/O thread in the control block. */
  wakeIo(): void;
  /** Whether workers have posted messages that have not come yet. */
  isExpecting(): boolean;
  /** The event loop has had its turn. */
  turned(): void;
}

/** From `init` on. */
interface Made {
  readonly thread: VcpuThread;
  readonly block: ControlBlock;
}

/** Always vCPU 0. */
export class LocalVcpu implements VcpuHandle {
  readonly id = 0;
  readonly received = 0;
  readonly #host: LocalVcpuHost;
  #made: Made | undefined;
  #isRunning = false;

  constructor(host: LocalVcpuHost) {
    this.#host = host;
  }

  get isIdle(): boolean {
    return !this.#isRunning;
  }

  load(): void {}

  /** async: what the constructor throws becomes a rejection, with the PlainError as from a worker. */
  // deno-lint-ignore require-await
  async init({ place }: OwnedVcpu, setup: VcpuSetup): Promise<void> {
    try {
      this.#made = {
        thread: new VcpuThread({ ...setup, place }, this.#host),
        block: new ControlBlock(setup.block, setup),
      };
    } catch (error) {
      throw plainError(error);
    }
  }

  start(events: VcpuEvents): void {
    this.#isRunning = true;
    this.#run().then(
      ({ exit, startedAt }) => {
        this.#isRunning = false;
        events.exited(this.id, exit, startedAt);
      },
      (error) => {
        this.#isRunning = false;
        events.died(plainError(error));
      },
    );
  }

  async #run(): Promise<{ readonly exit: VcpuExit; readonly startedAt: number }> {
    await undefined; // whoever called `start` finishes first
    const made = this.#made;
    if (made === undefined) throw new InvariantError("A vCPU was started before it was made");
    const { thread } = made;
    using _tick = new KickTimer(FIRST_TICK_MS, TICK_MS);
    const startedAt = performance.timeOrigin + performance.now();
    for (;;) {
      await this.#heedRequests(made);
      const exit = thread.loop.runUntilKicked();
      if (exit !== undefined) return { exit, startedAt };
      for (let i = 0; i < TURNS || (i < MAX_TURNS && this.#host.isExpecting()); i++) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      this.#host.turned();
    }
  }

  /** As `VcpuLoop.run` does it, but this thread goes on while the vCPU sleeps. */
  async #heedRequests({ thread, block }: Made): Promise<void> {
    const { words } = block;
    const request = block.vcpu(this.id, VCPU_REQUEST);
    const parked = block.vcpu(this.id, VCPU_PARKED);
    for (;;) {
      const asked = Atomics.load(words, request);
      if ((asked & VCPU_STOP) !== 0) return thread.loop.end({ kind: "asked" });
      if ((asked & VCPU_PAUSE) === 0) return;
      Atomics.store(words, parked, 1);
      this.#host.parked();
      await Atomics.waitAsync(words, request, asked).value;
      Atomics.store(words, parked, 0);
      thread.noteWasPaused();
    }
  }

  /** Whoever calls this runs on the same thread: the vCPU is out of the guest, and looks before it goes back in. */
  kick(): void {}

  terminate(): void {}
}
