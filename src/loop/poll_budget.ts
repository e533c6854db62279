/**
 * How long the event loop looks at its poll sources before it sleeps. Learned from how long it would have had to
 * look, as QEMU's aio_poll does it: looking costs a processor, sleeping costs the driver a kick and us a wake-up.
 * Owned by `EpollLoop`; knows no clock.
 */

/**
 * Longest time without work that is worth looking through. A kick that looking saves the driver is an exit: 1 µs on
 * hardware, 30 to 70 µs where ring 0 is emulated, and then the wake-up.
 */
export const MAX_POLL_MS = 0.1;
/** First step up from 0, and the least that is worth it. */
const FIRST_POLL_MS = 0.004;
/** A time without work as long as this means that there is no load at all. */
const IDLE_MS = 2;

export class PollBudget {
  readonly #maxMs: number;
  #ms = 0;

  /** `maxMs` 0 never looks: for hosts with one processor, where looking keeps away who would bring work. */
  constructor(maxMs: number) {
    this.#maxMs = maxMs;
  }

  /** Milliseconds to look for work before the next sleep. */
  get ms(): number {
    return this.#ms;
  }

  /** Work came `idleMs` after there was none left, and the loop had gone to sleep: looking had been in vain. */
  slept(idleMs: number): void {
    // Nothing came for long: the next look has to be earned again, so idle guests cost nothing. A pause of a busy
    // driver costs half: one slow request must not make the next hundred slow.
    if (idleMs > IDLE_MS) this.#ms = 0;
    else if (idleMs > this.#maxMs) this.#ms = this.#ms <= FIRST_POLL_MS ? 0 : this.#ms / 2;
    else if (idleMs > this.#ms) {
      this.#ms = Math.min(this.#maxMs, Math.max(FIRST_POLL_MS, this.#ms * 2));
    }
  }
}
