/**
 * What is said of a driver that breaks its device. It can do so a thousand times a second, with a reset each time: that
 * is to be a line a second (INV-4). One for each device. Used by `io_thread.ts`.
 */
import type { EventLoop } from "../loop/event_loop.ts";

const QUIET_MS = 1000;

export class FaultReports {
  readonly #loop: Pick<EventLoop, "now">;
  readonly #report: (message: string) => void;
  #saidAt = -Infinity;
  /** Faults since then. */
  #unsaid = 0;

  /** `report` is called at most once a second. */
  constructor(loop: Pick<EventLoop, "now">, report: (message: string) => void) {
    this.#loop = loop;
    this.#report = report;
  }

  /** The device was broken. What is left out is counted, and told with the next one. */
  fault(reason: Error): void {
    const { now } = this.#loop;
    if (now - this.#saidAt < QUIET_MS) {
      this.#unsaid++;
      return;
    }
    this.#report(
      this.#unsaid === 0 ? reason.message : `${reason.message} (${this.#unsaid} before)`,
    );
    this.#saidAt = now;
    this.#unsaid = 0;
  }
}
