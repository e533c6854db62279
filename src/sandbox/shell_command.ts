/** A line for the guest's shell, as `vm.sh` makes it. */
import { shellWord } from "../guest/shell_words.ts";
import { VmError } from "./errors.ts";
import type { GuestOutput } from "./guest_output.ts";

/** What it runs with. */
export interface ShellSetup {
  readonly script: string;
  readonly cwd?: string;
  readonly signal?: AbortSignal;
  readonly throws: boolean;
}

/** Runs it to its end. */
export type ShellRunner = (setup: ShellSetup) => Promise<GuestOutput>;

/**
 * A shell command that has not begun: awaiting it runs it, once. It throws CommandError when the status is not 0, unless
 * `noThrow` was said.
 */
export class ShellCommand implements PromiseLike<GuestOutput> {
  readonly #setup: ShellSetup;
  readonly #run: ShellRunner;
  #output: Promise<GuestOutput> | undefined;

  /** For `Vm`. */
  constructor(setup: ShellSetup, run: ShellRunner) {
    this.#setup = setup;
    this.#run = run;
  }

  #with(more: Partial<ShellSetup>): ShellCommand {
    return new ShellCommand({ ...this.#setup, ...more }, this.#run);
  }

  /** The same in another directory. */
  cwd(path: string): ShellCommand {
    return this.#with({ cwd: path });
  }

  /** The same, to be ended when `signal` is aborted. */
  signal(signal: AbortSignal): ShellCommand {
    return this.#with({ signal });
  }

  /** The same, without an exception for its status. */
  noThrow(): ShellCommand {
    return this.#with({ throws: false });
  }

  async #result(): Promise<GuestOutput> {
    const output = await (this.#output ??= this.#run(this.#setup));
    return this.#setup.throws ? output.check() : output;
  }

  /** What it printed. */
  async text(): Promise<string> {
    return (await this.#result()).text;
  }

  /** What it printed, line by line. */
  async lines(): Promise<string[]> {
    const text = (await this.text()).replace(/\n$/, "");
    return text === "" ? [] : text.split(/\r?\n/);
  }

  /** What it printed, as JSON. */
  async json<T = unknown>(): Promise<T> {
    return (await this.#result()).json<T>();
  }

  /** Its status; never an exception for it. */
  async code(): Promise<number> {
    return (await this.noThrow()).code;
  }

  /** Runs it: this makes it something to await. */
  then<A = GuestOutput, B = never>(
    resolved?: ((output: GuestOutput) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#result().then(resolved, rejected);
  }
}

/** The script of a template: each value is one word of it, whatever is in it; an array is one word for each element. */
export function shellScript(
  strings: readonly string[],
  values: readonly unknown[],
): string {
  return strings.map((text, i) => i < values.length ? text + shellWords(values[i]) : text).join("");
}

function shellWords(value: unknown): string {
  if (Array.isArray(value)) return value.map(shellWords).join(" ");
  if (!["string", "number", "bigint", "boolean"].includes(typeof value)) {
    throw new VmError(
      `Cannot make a shell word of ${value === null ? "null" : typeof value}`,
      "SHELL_VALUE",
      { hint: "strings, numbers, booleans and arrays of them are possible" },
    );
  }
  return shellWord(String(value));
}
