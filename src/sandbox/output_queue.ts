/** One of a command's outputs on this side: what has come and was not read yet, never more than was asked for. */
import { GuestReadable } from "./guest_readable.ts";

/** What it says to the agent. */
export interface OutputEvents {
  /** There is room for `bytes` more. */
  consumed(bytes: number): void;
  /** Nobody reads any more. */
  cancelled(): void;
}

/** Bytes of each output that may be on their way or wait here. */
export const OUTPUT_WINDOW = 256 * 1024;

/** It is not waited for: whoever reads it takes the time it takes. */
const AT_ONCE: Promise<void> = Promise.resolve();

export class OutputQueue {
  readonly stream: GuestReadable;
  readonly #events: OutputEvents;
  readonly #chunks: Uint8Array<ArrayBuffer>[] = [];
  #consumed = 0;
  #state: "open" | "ended" | "failed" | "cancelled" = "open";
  #error: unknown;
  #wake: (() => void) | undefined;

  constructor(events: OutputEvents) {
    this.#events = events;
    this.stream = new GuestReadable({
      pull: (controller) => this.#pull(controller),
      cancel: () => this.#cancel(),
    }, { highWaterMark: 0 });
  }

  /** It has come; an empty one is the end. */
  push(chunk: Uint8Array<ArrayBuffer>): void {
    if (this.#state !== "open") return;
    if (chunk.length === 0) this.#state = "ended";
    else this.#chunks.push(chunk);
    this.#wake?.();
  }

  /** Resolves when the command's end may be told. */
  get passed(): Promise<void> {
    return AT_ONCE;
  }

  /** No more will come, though it has not ended: `error` says why. What is here can still be read. */
  fail(error: unknown): void {
    if (this.#state !== "open") return;
    this.#state = "failed";
    this.#error = error;
    this.#wake?.();
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>): Promise<void> {
    if (this.#chunks.length === 0 && this.#state === "open") {
      await new Promise<void>((resolve) => this.#wake = resolve);
      this.#wake = undefined;
    }
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      controller.enqueue(chunk);
      this.#consume(chunk.length);
    } else if (this.#state === "failed") controller.error(this.#error);
    else if (this.#state === "ended") controller.close();
  }

  /** A few big grants instead of many small ones. */
  #consume(bytes: number): void {
    this.#consumed += bytes;
    if (this.#consumed < OUTPUT_WINDOW / 4 || this.#state !== "open") return;
    this.#events.consumed(this.#consumed);
    this.#consumed = 0;
  }

  #cancel(): void {
    const wasOpen = this.#state === "open";
    this.#state = "cancelled";
    this.#chunks.length = 0;
    this.#wake?.();
    if (wasOpen) this.#events.cancelled();
  }
}
