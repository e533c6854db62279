/**
 * The event loop behind devices, as an interface: devices and transports see this, never epoll.
 * `epoll_loop.ts` is the real one; tests drive a manual one. Callbacks, not promises: a worker that blocks in
 * epoll_wait never returns to the JavaScript event loop, so promises do not run there (design.md 5).
 */

/** Told that something watched has happened. */
export interface Watcher {
  /** `events` are EPOLL* bits (0 for a timer), `token` is what `watch` or `timer` was given. */
  ready(events: number, token: number): void;
}

/** One registration. Disposing it twice is harmless. */
export interface Watch extends Disposable {
  /** Changes which events count; 0 pauses it. */
  update(events: number): void;
}

/** Runs callbacks on one thread, one at a time. */
export interface EventLoop {
  /** Milliseconds on a clock that never jumps. */
  readonly now: number;
  /** Calls `watcher` while `fd` has one of `events`. A file the kernel cannot poll counts as always ready. */
  watch(fd: number, events: number, watcher: Watcher, token?: number): Watch;
  /** Calls `watcher` once, `delayMs` from now. Disposing the watch first cancels it. */
  timer(delayMs: number, watcher: Watcher, token?: number): Watch;
  /** Runs `task` before the loop next sleeps, after the events already at hand. */
  defer(task: () => void): void;
}
