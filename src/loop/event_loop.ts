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

/** Something that can be seen to have work without a system call. Its methods are called on the loop's thread. */
export interface PollSource {
  /** Whether there is work. Cheap: it may be asked a million times a second. */
  look(): boolean;
  /** Does a bounded piece of the work: others are waiting. */
  serve(): void;
  /**
   * The loop is about to sleep: from now on work has to come with an event of a watched file. True: there is some
   * already, `serve` follows.
   */
  arm(): boolean;
}

/** Runs callbacks on one thread, one at a time. */
export interface EventLoop {
  /** Milliseconds on a clock that never jumps. */
  readonly now: number;
  /** Calls `watcher` while `fd` has one of `events`. A file the kernel cannot poll counts as always ready. */
  watch(fd: number, events: number, watcher: Watcher, token?: number): Watch;
  /** Calls `watcher` once, `delayMs` from now. Disposing the watch first cancels it. */
  timer(delayMs: number, watcher: Watcher, token?: number): Watch;
  /**
   * Looks at `source` while the loop is awake, and for a while before it sleeps. A source whose `arm` has not been
   * called since its last work is looked at, so whoever feeds it need not tell.
   */
  poll(source: PollSource): Watch;
  /** Runs `task` before the loop next sleeps, after the events already at hand. */
  defer(task: () => void): void;
}
