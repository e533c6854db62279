/**
 * One owner's part of an event loop that several share: what goes wrong in its callbacks is told to it alone, and all it
 * has registered can be taken back at once. Made by `io_worker.ts` for each machine.
 */
import type { EventLoop, PollSource, Watch, Watcher } from "./event_loop.ts";

/** Runs callbacks until it is disposed or one of them throws. */
export class OwnedLoop implements EventLoop, Disposable {
  readonly #loop: EventLoop;
  readonly #failed: (error: unknown) => void;
  readonly #watches = new Set<Watch>();
  #isOver = false;

  /** `failed` gets what a callback threw; no other callback of this owner runs after it. */
  constructor(loop: EventLoop, failed: (error: unknown) => void) {
    this.#loop = loop;
    this.#failed = failed;
  }

  get now(): number {
    return this.#loop.now;
  }

  watch(fd: number, events: number, watcher: Watcher, token = 0): Watch {
    return this.#own(this.#loop.watch(fd, events, this.#guarded(watcher), token));
  }

  timer(delayMs: number, watcher: Watcher, token = 0): Watch {
    const own: Watch = this.#own(this.#loop.timer(delayMs, {
      ready: (events, token) => {
        this.#watches.delete(own); // a timer is over when it fires: no memory for those of the past
        this.#run(() => watcher.ready(events, token));
      },
    }, token));
    return own;
  }

  poll(source: PollSource): Watch {
    return this.#own(this.#loop.poll({
      look: () => source.look(),
      serve: () => this.#run(() => source.serve()),
      arm: () => source.arm(),
    }));
  }

  defer(task: () => void): void {
    this.#loop.defer(() => this.#run(task));
  }

  #guarded(watcher: Watcher): Watcher {
    return {
      ready: (events, token) => {
        if (this.#isOver) return;
        try {
          watcher.ready(events, token);
        } catch (error) {
          this.#fail(error);
        }
      },
    };
  }

  #run(work: () => void): void {
    if (this.#isOver) return;
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this[Symbol.dispose]();
    this.#failed(error);
  }

  #own(watch: Watch): Watch {
    const own: Watch = {
      update: (events) => watch.update(events),
      [Symbol.dispose]: () => {
        this.#watches.delete(own);
        watch[Symbol.dispose]();
      },
    };
    this.#watches.add(own);
    return own;
  }

  /** Takes back everything that is registered. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    using release = new DisposableStack(); // goes on behind one that throws, as all do when the loop itself is broken
    for (const watch of this.#watches) release.use(watch);
  }
}
