/** The guest's console, for its owner. */
import { ConsoleBacklog } from "./console_backlog.ts";
import { VmError } from "./errors.ts";

/** Characters kept for `tail` and `waitFor`. */
const TAIL_CHARACTERS = 64 * 1024;
const READ_BYTES = 4096;

/** What it needs of a socket. */
export type ConsoleSocket = Pick<Deno.UnixConn, "read" | "write" | "close">;

/** What the guest prints on its console and what is typed there. */
export class VmConsole {
  /**
   * Everything from the start of the machine on. Whoever falls a mebibyte behind loses the oldest, for nobody must hold
   * the guest up by not looking; it ends with the machine.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** To the guest's console. */
  readonly writable: WritableStream<Uint8Array<ArrayBufferLike>>;
  /** Resolves when everything the guest has printed is here. */
  readonly ended: Promise<void>;
  readonly #conn: ConsoleSocket;
  readonly #backlog = new ConsoleBacklog();
  readonly #decoder = new TextDecoder();
  readonly #waiting = new Set<() => void>();
  /** The last of it are `tail`: it is cut when it is twice as long, not for each character that comes. */
  #text = "";
  #hasEnded = false;

  /** For `Vm`: `conn` is read until its end, which is the end of the machine. */
  constructor(conn: ConsoleSocket) {
    this.#conn = conn;
    this.readable = new ReadableStream({
      pull: (controller) => this.#pull(controller),
    }, { highWaterMark: 0 });
    this.writable = new WritableStream({
      write: async (chunk) => {
        for (let done = 0; done < chunk.length;) done += await conn.write(chunk.subarray(done));
      },
    });
    this.ended = this.#read();
  }

  /** What was printed last: at most 65536 characters. */
  get tail(): string {
    return this.#text.slice(-TAIL_CHARACTERS);
  }

  async #read(): Promise<void> {
    try {
      const bytes = new Uint8Array(READ_BYTES);
      for (;;) {
        const count = await this.#conn.read(bytes);
        if (count === null) break;
        this.#arrived(bytes.subarray(0, count));
      }
    } catch {
      // closed under the read: the end as well
    }
    this.#hasEnded = true;
    closeQuietly(this.#conn);
    this.#wake();
  }

  #arrived(bytes: Uint8Array): void {
    this.#backlog.add(bytes);
    const text = this.#text + this.#decoder.decode(bytes, { stream: true });
    this.#text = text.length < 2 * TAIL_CHARACTERS ? text : text.slice(-TAIL_CHARACTERS);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  async #more(signal?: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => reject(signal?.reason);
    this.#waiting.add(resolve);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await promise;
    } finally {
      this.#waiting.delete(resolve);
      signal?.removeEventListener("abort", abort);
    }
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>): Promise<void> {
    while (this.#backlog.isEmpty && !this.#hasEnded) await this.#more();
    const chunk = this.#backlog.take();
    if (chunk === undefined) controller.close();
    else controller.enqueue(chunk);
  }

  /**
   * Waits until the console shows `pattern`, and returns what matched; what was printed before counts, as far as `tail`
   * goes. Rejects with VmError CONSOLE_ENDED when the machine ends first, or the signal's reason.
   */
  async waitFor(
    pattern: string | RegExp,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<string> {
    for (;;) {
      signal?.throwIfAborted();
      const found = typeof pattern === "string"
        ? (this.tail.includes(pattern) ? pattern : undefined)
        : this.tail.match(pattern)?.[0];
      if (found !== undefined) return found;
      if (this.#hasEnded) {
        throw new VmError(
          `The machine ended before its console showed ${pattern}`,
          "CONSOLE_ENDED",
        );
      }
      await this.#more(signal);
    }
  }
}

function closeQuietly(conn: ConsoleSocket): void {
  try {
    conn.close();
  } catch {
    // closed before
  }
}
