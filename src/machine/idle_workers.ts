/**
 * Workers that have served a machine and wait for the next: starting one costs 15 to 30 ms and holds up the thread that
 * does it. Idle workers do not keep the process alive. Used by `worker_vcpu.ts` and `io_threads.ts`.
 */

/** Idle vCPU workers that are kept, each 7 MiB and more. */
const MAX_IDLE = 4;

/**
 * Deno keeps the reference count of a worker to itself: a method of Worker.prototype without a name, which its
 * node:worker_threads calls. Undefined where a later Deno has it no more: then no worker is kept idle.
 */
const SET_REF = Object.getOwnPropertySymbols(Worker.prototype)
  .find((symbol) => symbol.description === undefined || symbol.description === "");

/** Whether `worker` keeps the process alive. False: that cannot be chosen here. */
export function keepsProcessAlive(worker: Worker, alive: boolean): boolean {
  if (SET_REF === undefined) return false;
  // SAFETY of the cast: looked up on the prototype; checked to be a function before it is called.
  const setRef = (worker as unknown as Record<symbol, unknown>)[SET_REF];
  if (typeof setRef !== "function") return false;
  setRef.call(worker, alive);
  return true;
}

/** Idle workers of one module. */
export class IdleWorkers {
  readonly #module: () => URL;
  readonly #name: string;
  readonly #idle: Worker[] = [];

  /** `module` is asked for when there is a worker to start; `name` is what debuggers show. */
  constructor(module: () => URL, name: string) {
    this.#module = module;
    this.#name = name;
  }

  /** An idle worker, or a new one. Its handlers are the caller's to set. */
  take(): Worker {
    const worker = this.#idle.pop();
    if (worker === undefined) {
      return new Worker(this.#module(), { type: "module", name: this.#name });
    }
    keepsProcessAlive(worker, true);
    return worker;
  }

  /** Keeps `worker`, which holds nothing of the machine it served, or ends it. */
  giveBack(worker: Worker): void {
    worker.onmessage = null;
    worker.onerror = null;
    if (this.#idle.length < MAX_IDLE && keepsProcessAlive(worker, false)) this.#idle.push(worker);
    else worker.terminate();
  }

  /** Ends all that are idle. */
  clear(): void {
    for (const worker of this.#idle.splice(0)) worker.terminate();
  }
}
