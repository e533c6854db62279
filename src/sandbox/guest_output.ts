/** How a command in the guest ended, and what it printed. */
import { CommandError } from "./errors.ts";

/** Lines of a failed command's errors that its CommandError shows. */
const SHOWN_LINES = 10;

/** The whole of a command that has ended. */
export class GuestOutput implements Deno.CommandStatus {
  /** Whether the code is 0. */
  readonly success: boolean;
  /** Its exit status; 128 and the signal's number when a signal ended it. */
  readonly code: number;
  /** The signal that ended it. */
  readonly signal: Deno.Signal | null;
  /** What it printed. */
  readonly stdout: Uint8Array<ArrayBuffer>;
  /** What it printed as errors. */
  readonly stderr: Uint8Array<ArrayBuffer>;
  readonly #what: string;

  /** `what`: the command, for messages. */
  constructor(
    what: string,
    { success, code, signal }: Deno.CommandStatus,
    stdout: Uint8Array<ArrayBuffer>,
    stderr: Uint8Array<ArrayBuffer>,
  ) {
    this.#what = what;
    this.success = success;
    this.code = code;
    this.signal = signal;
    this.stdout = stdout;
    this.stderr = stderr;
  }

  /** What it printed, as text (UTF-8). */
  get text(): string {
    return new TextDecoder().decode(this.stdout);
  }

  /** What it printed, as JSON. Throws SyntaxError. */
  json<T = unknown>(): T {
    return JSON.parse(this.text);
  }

  /** Itself, if the command has succeeded. Throws CommandError with the end of what it printed as errors. */
  check(): this {
    if (this.success) return this;
    const ending = this.signal === null ? `status ${this.code}` : `signal ${this.signal}`;
    const errors = new TextDecoder().decode(this.stderr).trimEnd().split("\n").slice(-SHOWN_LINES);
    const shown = errors.join("\n") === "" ? "" : `:\n${errors.join("\n")}`;
    throw new CommandError(`Command "${this.#what}" ended with ${ending}${shown}`, this);
  }
}
