/**
 * Many waits of one length on one timer: whoever began first is due first, so a set in order of insertion is all it
 * takes. For devices whose driver, or whose host, can begin and end thousands of waits a second.
 */
import type { EventLoop, Watch, Watcher } from "../loop/event_loop.ts";

/** Calls `expired` for each item that was added and not removed within the delay. */
export class Deadlines<T> implements Watcher {
  readonly #delayMs: number;
  readonly #expired: (item: T) => void;
  readonly #due = new Map<T, number>();
  #loop: EventLoop | undefined;
  #timer: Watch | undefined;

  constructor(delayMs: number, expired: (item: T) => void) {
    this.#delayMs = delayMs;
    this.#expired = expired;
  }

  /** Items that wait. */
  get size(): number {
    return this.#due.size;
  }

  /** Starts the wait of `item` anew. */
  add(item: T, loop: EventLoop): void {
    this.#due.delete(item); // so that it goes to the end
    this.#due.set(item, loop.now + this.#delayMs);
    this.#loop = loop;
    this.#timer ??= loop.timer(this.#delayMs, this);
  }

  remove(item: T): void {
    this.#due.delete(item);
  }

  /** Calls `visit` with every item that waits; `visit` removes none. */
  forEach(visit: (item: T) => void): void {
    this.#due.forEach((_, item) => visit(item));
  }

  /** The timer: it is not moved when an item leaves, so it may come for nothing. */
  ready(): void {
    const loop = this.#loop;
    this.#timer = undefined;
    if (loop === undefined) return;
    for (const [item, due] of this.#due) {
      if (due > loop.now) {
        this.#timer = loop.timer(due - loop.now, this);
        return;
      }
      this.#due.delete(item);
      this.#expired(item);
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#due.clear();
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }
}
