/** Progress of a build on stderr: a bar on a terminal, else one line for each stage. */
import type { BuildProgress } from "../guest/mod.ts";
import { showStatus, writeError } from "./output.ts";

const BAR_CELLS = 24;

/** Where and how progress is shown. */
export interface ProgressStyle {
  /** Show nothing. */
  readonly silent: boolean;
  /** Draw a bar that moves. */
  readonly bar: boolean;
  readonly columns: number;
  /** What is built; the default guest when left out. */
  readonly subject?: string;
}

/** Shows stages and fractions; dispose it before anything else is printed. */
export class ProgressLine implements BuildProgress, Disposable {
  readonly #style: ProgressStyle;
  readonly #begun = performance.now();
  #stage = "";
  #done = 0;

  constructor(style: ProgressStyle) {
    this.#style = style;
  }

  stage(name: string, detail?: string): void {
    this.#stage = detail === undefined ? name : `${name}: ${detail}`;
    if (this.#style.silent) return;
    if (this.#style.bar) this.#draw();
    else writeError(`${this.#style.subject ?? "default guest"}: ${this.#stage}`);
  }

  fraction(done: number): void {
    this.#done = done;
    if (this.#style.bar && !this.#style.silent) this.#draw();
  }

  #draw(): void {
    const seconds = Math.floor((performance.now() - this.#begun) / 1000);
    const { columns, subject } = this.#style;
    showStatus(barLine(this.#stage, this.#done, seconds, columns, subject));
  }

  /** Removes the bar. */
  [Symbol.dispose](): void {
    showStatus("");
  }
}

/** `default guest [######------]  42% 1:05 compile`, cut to fit a window. */
export function barLine(
  stage: string,
  done: number,
  seconds: number,
  columns: number,
  subject = "default guest",
): string {
  const share = Math.min(1, Math.max(0, done));
  const full = Math.round(share * BAR_CELLS);
  const bar = "#".repeat(full) + "-".repeat(BAR_CELLS - full);
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  // One column stays free, or some terminals wrap.
  return `${subject} [${bar}] ${percent} ${time} ${stage}`.slice(0, columns - 1);
}
