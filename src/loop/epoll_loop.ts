/**
 * The event loop of the I/O thread: epoll, poll sources, timers and deferred tasks. Blocks its thread; see
 * `event_loop.ts`. Before it sleeps it looks at its poll sources for as long as that has paid off lately.
 */
import { EPOLLERR, EPOLLIN, EPOLLOUT } from "../abi/linux.ts";
import { Epoll } from "../sys/epoll.ts";
import type { FdNumber } from "../sys/fd.ts";
import type { EventLoop, PollSource, Watch, Watcher } from "./event_loop.ts";
import { MAX_POLL_MS, PollBudget } from "./poll_budget.ts";
import { PollSet } from "./poll_set.ts";

/** While poll sources keep the loop busy, or it looks in vain, files wait no longer than this to be asked about. */
const FILES_EVERY_MS = 0.02;
/** Looks between two looks at the clock, which costs as much as several of them. */
const LOOKS_PER_TIME = 8;

class FdWatch implements Watch {
  #loop: EpollLoop | undefined;
  constructor(
    loop: EpollLoop,
    readonly slot: number,
    readonly fd: FdNumber,
    readonly watcher: Watcher,
    readonly token: number,
    /** Whether the kernel can poll it; otherwise it counts as always ready. */
    public pollable: boolean,
    public events: number,
  ) {
    this.#loop = loop;
  }

  update(events: number): void {
    if (this.#loop === undefined || events === this.events) return;
    const before = this.events;
    this.events = events;
    this.#loop.changed(this, before);
  }

  [Symbol.dispose](): void {
    const loop = this.#loop;
    this.#loop = undefined; // first: where the instance itself is broken, whoever tidies up again is not stopped again
    loop?.forget(this);
  }
}

class TimerWatch implements Watch {
  active = true;
  constructor(readonly due: number, readonly watcher: Watcher, readonly token: number) {}

  update(): void {}

  [Symbol.dispose](): void {
    this.active = false;
  }
}

/** Runs until `stop` is called from one of its own callbacks. */
export class EpollLoop implements EventLoop, Disposable {
  readonly #epoll: Epoll;
  readonly #watches: (FdWatch | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  #alwaysReady: FdWatch[] = [];
  #timers: TimerWatch[] = [];
  #deferred: (() => void)[] = [];
  #running = false;
  readonly #polled = new PollSet();
  readonly #budget: PollBudget;
  /** When the files were last asked. */
  #filesAt = 0;

  /**
   * `maxPollMs`: how long to look for work before sleeping, at most; 0 on one processor. `epoll`: an instance that
   * stays its owner's, for a loop whose thread ends without a chance to close it.
   */
  constructor(
    maxPollMs: number = navigator.hardwareConcurrency > 1 ? MAX_POLL_MS : 0,
    epoll: Epoll = new Epoll(),
  ) {
    this.#budget = new PollBudget(maxPollMs);
    this.#epoll = epoll;
  }

  get now(): number {
    return performance.now();
  }

  watch(fd: number, events: number, watcher: Watcher, token = 0): Watch {
    const slot = this.#freeSlots.pop() ?? this.#watches.length;
    const pollable = this.#epoll.add(fd as FdNumber, events, slot);
    if (pollable && events === 0) this.#epoll.remove(fd as FdNumber); // paused from the start
    const watch = new FdWatch(this, slot, fd as FdNumber, watcher, token, pollable, events);
    this.#watches[slot] = watch;
    if (!pollable) this.#alwaysReady.push(watch);
    return watch;
  }

  /** For FdWatch only. A paused watch leaves the set: EPOLLHUP would come even with no events asked for. */
  changed(watch: FdWatch, before: number): void {
    if (!watch.pollable) return;
    if (watch.events === 0) this.#epoll.remove(watch.fd);
    else if (before === 0) this.#epoll.add(watch.fd, watch.events, watch.slot);
    else this.#epoll.modify(watch.fd, watch.events, watch.slot);
  }

  /** For FdWatch only. */
  forget(watch: FdWatch): void {
    this.#watches[watch.slot] = undefined;
    this.#freeSlots.push(watch.slot);
    if (watch.pollable && watch.events !== 0) this.#epoll.remove(watch.fd);
    else if (!watch.pollable) {
      this.#alwaysReady = this.#alwaysReady.filter((other) => other !== watch);
    }
  }

  timer(delayMs: number, watcher: Watcher, token = 0): Watch {
    const timer = new TimerWatch(this.now + delayMs, watcher, token);
    this.#timers.push(timer);
    return timer;
  }

  poll(source: PollSource): Watch {
    return this.#polled.add(source);
  }

  defer(task: () => void): void {
    this.#deferred.push(task);
  }

  /** Ends `run` after the current turn. */
  stop(): void {
    this.#running = false;
  }

  run(): void {
    this.#running = true;
    while (this.#running) this.#turn();
  }

  #turn(): void {
    if (this.#polled.size === 0) this.#serveFiles(this.#timeout());
    else this.#pollOrSleep(this.#timeout());
    if (this.#alwaysReady.length > 0) this.#serveAlwaysReady();
    if (this.#timers.length > 0) this.#serveTimers();
    if (this.#deferred.length > 0) this.#serveDeferred();
  }

  /** One piece of work, or a sleep of `timeout` ms at most (-1: no end) if there is none for a while. */
  #pollOrSleep(timeout: number): void {
    const idleSince = this.now;
    if (this.#polled.serve()) {
      if (idleSince - this.#filesAt >= FILES_EVERY_MS) this.#serveFiles(0);
      return;
    }
    if (timeout !== 0) {
      if (this.#budget.ms > 0 && this.#look(idleSince, timeout)) return;
      // Nobody is told to look any more, so from here on everybody has to tell; what came before that is found now.
      if (this.#polled.arm()) return;
    }
    this.#serveFiles(timeout);
    if (timeout !== 0) this.#budget.slept(this.#filesAt - idleSince);
  }

  /** Looks for work for as long as the budget says. Whether it found any. */
  #look(since: number, timeout: number): boolean {
    const limit = timeout < 0 ? this.#budget.ms : Math.min(this.#budget.ms, timeout);
    for (let now = since; now - since < limit; now = this.now) {
      for (let i = 0; i < LOOKS_PER_TIME; i++) if (this.#polled.serve()) return true;
      if (now - this.#filesAt >= FILES_EVERY_MS && this.#serveFiles(0) > 0) return true;
    }
    return false;
  }

  /** Waits up to `timeout` ms for files; returns how many had events. */
  #serveFiles(timeout: number): number {
    const count = this.#epoll.wait(timeout);
    this.#filesAt = this.now;
    for (let i = 0; i < count; i++) {
      // A callback earlier in this turn may have disposed the watch, or even reused its slot: a slot only
      // ever gets events the kernel had for it, and a spurious call is allowed by every watcher.
      const watch = this.#watches[this.#epoll.token(i)];
      watch?.watcher.ready(this.#epoll.events(i), watch.token);
    }
    return count;
  }

  #timeout(): number {
    if (this.#deferred.length > 0) return 0;
    for (const watch of this.#alwaysReady) if (watch.events !== 0) return 0;
    let soonest = Infinity;
    for (const timer of this.#timers) if (timer.active) soonest = Math.min(soonest, timer.due);
    return soonest === Infinity ? -1 : Math.max(0, Math.ceil(soonest - this.now));
  }

  #serveAlwaysReady(): void {
    for (const watch of [...this.#alwaysReady]) {
      const events = watch.events & (EPOLLIN | EPOLLOUT | EPOLLERR);
      if (events !== 0) watch.watcher.ready(events, watch.token);
    }
  }

  #serveTimers(): void {
    const now = this.now;
    const due = this.#timers.filter((timer) => timer.active && timer.due <= now);
    this.#timers = this.#timers.filter((timer) => timer.active && timer.due > now);
    for (const timer of due) {
      if (!timer.active) continue; // cancelled by one before it
      timer.active = false;
      timer.watcher.ready(0, timer.token);
    }
  }

  #serveDeferred(): void {
    const tasks = this.#deferred;
    this.#deferred = [];
    for (const task of tasks) task();
  }

  [Symbol.dispose](): void {
    this.#epoll[Symbol.dispose]();
  }
}
