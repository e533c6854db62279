/**
 * A watched file that can be left alone for a while: one that stays ready though nothing can be done about it now would
 * keep a level-triggered loop busy. Used by backends that let callers in.
 */
import type { EventLoop, Watch, Watcher } from "../loop/event_loop.ts";

export class PausableWatch implements Watch {
  readonly #loop: EventLoop;
  readonly #watch: Watch;
  #events = 0;
  #pause: Watch | undefined;

  /** Watches for nothing until `update`. */
  constructor(fd: number, loop: EventLoop, watcher: Watcher) {
    this.#loop = loop;
    this.#watch = loop.watch(fd, 0, watcher);
  }

  /** What to watch for; at the end of a pause, if there is one. */
  update(events: number): void {
    this.#events = events;
    if (this.#pause === undefined) this.#watch.update(events);
  }

  /** Sees nothing for `delayMs` milliseconds, and then what there is. */
  pause(delayMs: number): void {
    if (this.#pause !== undefined) return;
    this.#watch.update(0);
    this.#pause = this.#loop.timer(delayMs, {
      ready: () => {
        this.#pause = undefined;
        this.#watch.update(this.#events);
      },
    });
  }

  [Symbol.dispose](): void {
    this.#pause?.[Symbol.dispose]();
    this.#watch[Symbol.dispose]();
  }
}
