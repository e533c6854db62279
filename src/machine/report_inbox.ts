/** What one correspondent reports, for whoever waits for it; and the one place where its death is noticed. */
import type { PlainError } from "../ipc/messages.ts";

/** What all reports have in common. `failed` ends the correspondence. */
export interface Report {
  readonly type: string;
  readonly error?: PlainError;
}

/** Reports by type. */
export class ReportInbox<R extends Report> {
  readonly #listener: (report: R) => void;
  readonly #waiting = new Map<string, (report: R) => void>();
  readonly #mourners: ((error: PlainError) => void)[] = [];
  #dead: PlainError | undefined;
  #lastWords: R | undefined;
  #received = 0;

  /** `listener` gets every report nobody waits for. */
  constructor(listener: (report: R) => void) {
    this.#listener = listener;
  }

  /** A report has come. */
  receive(report: R): void {
    this.#received++;
    if (report.type === "failed") {
      this.#lastWords ??= report;
      return this.die(report.error ?? { name: "Error", message: "unknown failure" });
    }
    const waiter = this.#waiting.get(report.type);
    if (waiter === undefined) return this.#listener(report);
    this.#waiting.delete(report.type);
    waiter(report);
  }

  /** How many reports have come. */
  get received(): number {
    return this.#received;
  }

  /** No more reports will come. */
  die(error: PlainError): void {
    if (this.#dead !== undefined) return;
    this.#dead = error;
    for (const died of this.#mourners) died(error);
  }

  /** Why it has crashed or given up; undefined while it lives. */
  get dead(): PlainError | undefined {
    return this.#dead;
  }

  /** What it said when it gave up; undefined while it lives, or when it died without a word. */
  get lastWords(): R | undefined {
    return this.#lastWords;
  }

  /** Calls `died` at its death, at once when it is dead. */
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

  /** The same, but rejects with the PlainError when it dies first. */
  nextOrDeath<T extends R["type"]>(type: T): Promise<Extract<R, { type: T }>> {
    const death = new Promise<never>((_, reject) => this.onDeath(reject));
    return Promise.race([this.next(type), death]);
  }
}
