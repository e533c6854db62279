/** A worker as the control thread holds it: typed messages, and one place where its death is noticed. */
import type { PlainError } from "../ipc/messages.ts";

/** What a worker's reports have in common. */
interface Report {
  readonly type: string;
  readonly error?: PlainError;
}

/** Waits for and keeps what one worker reports. */
export class WorkerHandle<R extends Report> {
  readonly #worker: Worker;
  readonly #listener: (report: R) => void;
  readonly #waiting = new Map<string, (report: R) => void>();
  readonly #mourners: ((error: PlainError) => void)[] = [];
  #dead: PlainError | undefined;

  /** `listener` gets every report nobody waits for. */
  constructor(module: URL, name: string, listener: (report: R) => void) {
    this.#listener = listener;
    this.#worker = new Worker(module, { type: "module", name });
    this.#worker.onmessage = (event: MessageEvent<R>) => this.#receive(event.data);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // or it would end this isolate, too
      this.#die({ name: "WorkerError", message: `${name}: ${event.message}` });
    };
  }

  post(message: unknown): void {
    this.#worker.postMessage(message);
  }

  #receive(report: R): void {
    if (report.type === "failed") {
      return this.#die(report.error ?? { name: "Error", message: "unknown failure" });
    }
    const waiter = this.#waiting.get(report.type);
    if (waiter === undefined) return this.#listener(report);
    this.#waiting.delete(report.type);
    waiter(report);
  }

  #die(error: PlainError): void {
    if (this.#dead !== undefined) return;
    this.#dead = error;
    for (const died of this.#mourners) died(error);
  }

  /** Whether it has crashed or given up. */
  get dead(): PlainError | undefined {
    return this.#dead;
  }

  /** Calls `died` at the worker's death, at once when it is dead. */
  onDeath(died: (error: PlainError) => void): void {
    if (this.#dead !== undefined) died(this.#dead);
    else this.#mourners.push(died);
  }

  /** The next report of this type. */
  next<T extends R["type"]>(type: T): Promise<Extract<R, { type: T }>> {
    return new Promise((resolve) => {
      // SAFETY of the cast: keyed by the report's own type.
      this.#waiting.set(type, resolve as (report: R) => void);
    });
  }

  /** The same, but rejects with the PlainError when the worker dies first. */
  nextOrDeath<T extends R["type"]>(type: T): Promise<Extract<R, { type: T }>> {
    const death = new Promise<never>((_, reject) => this.onDeath(reject));
    return Promise.race([this.next(type), death]);
  }

  terminate(): void {
    this.#worker.terminate();
  }
}
