/** The guest's console, for its owner. */
import { VmError } from "./errors.ts";

/** Characters kept for `tail`, `waitFor` and a reader that comes late. */
const TAIL_CHARACTERS = 64 * 1024;
/** Chunks that wait for a reader of `readable`; older ones are dropped, for nobody must hold the guest up by not looking. */
const MAX_CHUNKS = 1024;

/** What it needs of a socket. */
export type ConsoleSocket = Pick<Deno.UnixConn, "read" | "write" | "close">;

/** What the guest prints on its console and what is typed there. */
export class VmConsole {
  /**
   * Everything from the start of the machine on. Whoever falls 1024 pieces behind loses the oldest; it ends with the
   * machine.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** To the guest's console. */
  readonly writable: WritableStream<Uint8Array<ArrayBufferLike>>;
  /** Resolves when everything the guest has printed is here. */
  readonly ended: Promise<void>;
  readonly #conn: ConsoleSocket;
  readonly #chunks: Uint8Array<ArrayBuffer>[] = [];
  readonly #decoder = new TextDecoder();
  readonly #waiting = new Set<() => void>();
  #tail = "";
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
    return this.#tail;
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        const bytes = new Uint8Array(4096);
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

  #arrived(chunk: Uint8Array<ArrayBuffer>): void {
    this.#chunks.push(chunk);
    if (this.#chunks.length > MAX_CHUNKS) this.#chunks.shift();
    const text = this.#tail + this.#decoder.decode(chunk, { stream: true });
    this.#tail = text.slice(-TAIL_CHARACTERS);
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
    while (this.#chunks.length === 0 && !this.#hasEnded) await this.#more();
    const chunk = this.#chunks.shift();
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
        ? (this.#tail.includes(pattern) ? pattern : undefined)
        : this.#tail.match(pattern)?.[0];
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
