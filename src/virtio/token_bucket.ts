/**
 * A rate limit: bytes come in steadily and may be saved up, to a bound. Used by backends that a guest could keep
 * busy for ever. Time is the event loop's, in milliseconds.
 */

/** How long the bucket of a limit takes to fill: a driver that was idle may have this much of its rate at once. */
const FULL_MS = 1000;

export class TokenBucket {
  readonly #bytesPerMs: number;
  readonly #capacity: number;
  #level: number;
  #filledAt: number;

  /** Starts full. `bytesPerSecond` > 0. */
  constructor(bytesPerSecond: number, now: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#capacity = Math.max(1, this.#bytesPerMs * FULL_MS);
    this.#level = this.#capacity;
    this.#filledAt = now;
  }

  /** Takes up to `wanted` bytes and returns how many there were. */
  take(wanted: number, now: number): number {
    const since = Math.max(0, now - this.#filledAt);
    this.#level = Math.min(this.#capacity, this.#level + since * this.#bytesPerMs);
    this.#filledAt = now;
    const taken = Math.min(wanted, Math.floor(this.#level));
    this.#level -= taken;
    return taken;
  }

  /** Milliseconds, at least 1, until `wanted` bytes (or as many as fit) are there. */
  delay(wanted: number): number {
    const missing = Math.min(wanted, this.#capacity) - this.#level;
    return Math.max(1, Math.ceil(missing / this.#bytesPerMs));
  }
}
