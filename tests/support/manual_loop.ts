/** An event loop whose time, files and turns are in the test's hands. */
import { fail } from "../../src/std/assert.ts";
import type { EventLoop, PollSource, Watch, Watcher } from "../../src/loop/event_loop.ts";
import { PollSet } from "../../src/loop/poll_set.ts";

/** More turns than any test needs: a device that defers for ever fails the test instead of hanging it. */
const MAX_TURNS = 10_000;

interface Entry extends Watch {
  readonly watcher: Watcher;
  readonly token: number;
  readonly due: number;
  readonly fd: number;
  events: number;
  active: boolean;
}

/**
 * Nothing happens until a test calls `turn`, `settle`, `advance` or `look`. It goes to sleep after every turn and
 * never looks at poll sources of its own accord: a device that is not told by a kick or a file notices nothing.
 */
export class ManualLoop implements EventLoop {
  #now = 0;
  #timers: Entry[] = [];
  #watches: Entry[] = [];
  #deferred: (() => void)[] = [];
  readonly #polled = new PollSet();
  /** Whether going to sleep after the last turn found work: then it is not asleep. */
  #found = false;
  /** Events each fake file has: level-triggered, as the real loop's. */
  readonly #levels = new Map<number, number>();

  get now(): number {
    return this.#now;
  }

  /** Timers that have neither fired nor been cancelled. */
  get pendingTimers(): number {
    return this.#timers.filter((timer) => timer.active).length;
  }

  /** Files still watched. */
  get watchedFiles(): number {
    return this.#watches.filter((watch) => watch.active).length;
  }

  get deferredTasks(): number {
    return this.#deferred.length;
  }

  watch(fd: number, events: number, watcher: Watcher, token = 0): Watch {
    const entry = newEntry({ watcher, token, due: Infinity, fd, events });
    this.#watches.push(entry);
    return entry;
  }

  timer(delayMs: number, watcher: Watcher, token = 0): Watch {
    const entry = newEntry({ watcher, token, due: this.#now + delayMs, fd: -1, events: 0 });
    this.#timers.push(entry);
    return entry;
  }

  poll(source: PollSource): Watch {
    return this.#polled.add(source);
  }

  /** Poll sources there are. */
  get pollSources(): number {
    return this.#polled.size;
  }

  /** What the real loop does before it sleeps: one look at every poll source. Whether there was work. */
  look(): boolean {
    return this.#polled.serve();
  }

  defer(task: () => void): void {
    this.#deferred.push(task);
  }

  /** From now on fake file `fd` has `events` (0: none). */
  setLevel(fd: number, events: number): void {
    this.#levels.set(fd, events);
  }

  /** One turn: files, timers that are due, then what was deferred before the turn's end. */
  turn(): void {
    for (const watch of [...this.#watches]) {
      const events = (this.#levels.get(watch.fd) ?? 0) & watch.events;
      if (watch.active && events !== 0) watch.watcher.ready(events, watch.token);
    }
    for (const timer of [...this.#timers].sort((a, b) => a.due - b.due)) {
      if (!timer.active || timer.due > this.#now) continue;
      timer.active = false;
      timer.watcher.ready(0, timer.token);
    }
    this.#watches = this.#watches.filter((watch) => watch.active);
    this.#timers = this.#timers.filter((timer) => timer.active);
    const tasks = this.#deferred;
    this.#deferred = [];
    for (const task of tasks) task();
    this.#found = this.#polled.arm();
  }

  /** Turns until nothing is left to do at the present time. Fails when that never comes. */
  settle(): void {
    for (let turns = 0; turns < MAX_TURNS; turns++) {
      if (turns > 0 && this.#deferred.length === 0 && !this.#found && !this.#isDue()) return;
      this.turn();
    }
    fail(`The event loop did not come to rest in ${MAX_TURNS} turns`);
  }

  /** Lets `milliseconds` pass, then settles. */
  advance(milliseconds: number): void {
    this.#now += milliseconds;
    this.settle();
  }

  #isDue(): boolean {
    return this.#timers.some((timer) => timer.active && timer.due <= this.#now) ||
      this.#watches.some((watch) =>
        watch.active && ((this.#levels.get(watch.fd) ?? 0) & watch.events) !== 0
      );
  }
}

function newEntry(
  fields: Pick<Entry, "watcher" | "token" | "due" | "fd" | "events">,
): Entry {
  return {
    ...fields,
    active: true,
    update(events: number): void {
      this.events = events;
    },
    [Symbol.dispose](): void {
      this.active = false;
    },
  };
}
