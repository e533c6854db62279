/**
 * The sources an event loop looks at without a system call, in a fair order: every pass asks each of them once,
 * and each brings its own bound on one piece of work. Used by `EpollLoop`, and by tests on their own.
 */
import type { PollSource, Watch } from "./event_loop.ts";

class Polled implements Watch {
  #set: PollSet | undefined;
  active = true;

  constructor(set: PollSet, readonly source: PollSource) {
    this.#set = set;
  }

  update(): void {}

  [Symbol.dispose](): void {
    this.active = false; // a pass under way skips it
    this.#set?.forget(this);
    this.#set = undefined;
  }
}

export class PollSet {
  /** Replaced, never changed: work of one source may add and remove others while a pass is under way. */
  #sources: readonly Polled[] = [];

  /** How many sources there are. */
  get size(): number {
    return this.#sources.length;
  }

  add(source: PollSource): Watch {
    const polled = new Polled(this, source);
    this.#sources = [...this.#sources, polled];
    return polled;
  }

  /** For Polled only. */
  forget(polled: Polled): void {
    this.#sources = this.#sources.filter((other) => other !== polled);
  }

  /** One pass: does a piece of work for each source that has some. Whether any had. */
  serve(): boolean {
    const sources = this.#sources;
    let found = false;
    for (let i = 0; i < sources.length; i++) {
      const polled = sources[i] as Polled;
      if (!polled.active || !polled.source.look()) continue;
      found = true;
      polled.source.serve();
    }
    return found;
  }

  /** Before a sleep: every source makes its descriptor tell again. True: one has work after all, do not sleep. */
  arm(): boolean {
    const sources = this.#sources;
    let found = false;
    for (let i = 0; i < sources.length; i++) {
      const polled = sources[i] as Polled;
      if (!polled.active || !polled.source.arm()) continue;
      found = true;
      polled.source.serve();
    }
    return found;
  }
}
