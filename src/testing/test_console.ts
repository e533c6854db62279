/** The console of a guest under test: all it has printed, waits that go forward through it, and typed input. */
import type { VmConsole } from "../sandbox/vm_console.ts";
import { ConsoleText } from "./console_text.ts";
import { GuestFailure } from "./guest_failure.ts";

/** Characters that are kept; of a guest that prints more, the first are dropped. */
const MAX_CHARACTERS = 4 * 2 ** 20;

/** Of a guest under test. */
export class TestConsole {
  readonly #console: Pick<VmConsole, "readable" | "writable">;
  readonly #limit: AbortSignal;
  readonly #text = new ConsoleText();
  readonly #waiting = new Set<() => void>();
  /** Resolves when everything the guest has printed is in `text`. */
  readonly ended: Promise<void>;
  #printed = "";
  /** Where the next wait begins. */
  #from = 0;
  #hasEnded = false;

  /** For `bootForTest`: `limit` ends every wait. */
  constructor(console: Pick<VmConsole, "readable" | "writable">, limit: AbortSignal) {
    this.#console = console;
    this.#limit = limit;
    this.ended = this.#read();
  }

  /**
   * All the guest has printed so far, as text without escape sequences (colours) and without carriage returns. Of a guest
   * that prints more than 4 Mi characters, the last.
   */
  get text(): string {
    return this.#printed;
  }

  /** The last `lines` lines of it. */
  tail(lines = 20): string {
    return this.#printed.trimEnd().split("\n").slice(-lines).join("\n");
  }

  /** What was printed up to the end of the last wait. */
  get waitedFor(): string {
    return this.#printed.slice(0, this.#from);
  }

  /**
   * Waits until the guest has printed `pattern` after what the last wait has found, and returns what matched. Rejects with
   * GuestFailure CONSOLE_ENDED when the machine ends first, CONSOLE_TIMEOUT when the time of the test or of `signal` is up.
   */
  async waitFor(
    pattern: string | RegExp,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<string> {
    const limit = signal === undefined ? this.#limit : AbortSignal.any([signal, this.#limit]);
    for (;;) {
      const found = this.#find(pattern);
      if (found !== undefined) return found;
      if (limit.aborted) throw this.#tooLate(pattern, limit.reason);
      if (this.#hasEnded) {
        throw new GuestFailure(
          `Guest ended before its console showed ${quoted(pattern)}`,
          "CONSOLE_ENDED",
          this.#printed,
        );
      }
      await this.#more(limit);
    }
  }

  /** Types `text` at the guest's console. A line ends with "\n". Rejects with GuestFailure GUEST_ENDED. */
  async type(text: string): Promise<void> {
    const writer = this.#console.writable.getWriter();
    try {
      await writer.write(new TextEncoder().encode(text));
    } catch (cause) {
      const message = `Cannot type ${quoted(text)}: the guest has ended`;
      throw new GuestFailure(message, "GUEST_ENDED", this.#printed, { cause });
    } finally {
      writer.releaseLock();
    }
  }

  #find(pattern: string | RegExp): string | undefined {
    const rest = this.#printed.slice(this.#from);
    const match = typeof pattern === "string"
      ? { 0: pattern, index: rest.indexOf(pattern) }
      : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, "")).exec(rest);
    if (match === null || match.index < 0) return undefined;
    this.#from += match.index + match[0].length;
    return match[0];
  }

  #tooLate(pattern: string | RegExp, reason: unknown): GuestFailure {
    return new GuestFailure(
      `Guest did not print ${quoted(pattern)} in time: ${
        reason instanceof Error ? reason.message : reason
      }`,
      "CONSOLE_TIMEOUT",
      this.#printed,
      { cause: reason },
    );
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#console.readable) {
      this.#arrived(this.#text.add(decoder.decode(chunk, { stream: true })));
    }
    this.#arrived(this.#text.add(decoder.decode()) + this.#text.end());
    this.#hasEnded = true;
    this.#wake();
  }

  #arrived(text: string): void {
    this.#printed += text;
    const excess = this.#printed.length - MAX_CHARACTERS;
    // Twice as much is let in before: dropping a little each time would copy everything each time.
    if (excess > MAX_CHARACTERS) {
      this.#printed = this.#printed.slice(excess);
      this.#from = Math.max(0, this.#from - excess);
    }
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  async #more(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = (): void => resolve();
    this.#waiting.add(wake);
    signal.addEventListener("abort", wake, { once: true });
    await promise;
    this.#waiting.delete(wake);
    signal.removeEventListener("abort", wake);
  }
}

function quoted(pattern: string | RegExp): string {
  return typeof pattern === "string" ? JSON.stringify(pattern) : String(pattern);
}
