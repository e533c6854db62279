/** A command's streams that are streams of this process: its input is fed from one, its outputs are written to others. */
import { GuestReadable } from "./guest_readable.ts";
import type { OutputEvents } from "./output_queue.ts";

/** As `Deno.stdin` is one. */
export interface ByteSource {
  read(into: Uint8Array): Promise<number | null>;
}

/** As `Deno.stdout` is one. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<number>;
}

/** What `inherit` means. */
export interface HostStreams {
  readonly stdin: ByteSource;
  readonly stdout: ByteSink;
  readonly stderr: ByteSink;
}

const INPUT_BYTES = 32 * 1024;

/** Passes on what `source` gives until its end, or until nobody takes it any more. Never rejects. */
export async function feed(
  source: ByteSource,
  into: WritableStream<Uint8Array<ArrayBufferLike>>,
): Promise<void> {
  const writer = into.getWriter();
  try {
    const bytes = new Uint8Array(INPUT_BYTES);
    for (let count = await source.read(bytes); count !== null; count = await source.read(bytes)) {
      await writer.write(bytes.subarray(0, count));
    }
    await writer.close();
  } catch {
    // A terminal that has gone is the end of the input, too; a command that has closed its own does not mind.
    await writer.abort().catch(() => {});
  }
}

/** One of a command's outputs. It holds what was asked for and is not written yet: OUTPUT_WINDOW bytes at most. */
export class OutputSink {
  /** Nothing is to be read here. */
  readonly stream = new GuestReadable({ start: (controller) => controller.close() });
  readonly #sink: ByteSink;
  readonly #events: OutputEvents;
  #isOver = false;
  #passed: Promise<void> = Promise.resolve();

  constructor(sink: ByteSink, events: OutputEvents) {
    this.#sink = sink;
    this.#events = events;
  }

  /** It has come; an empty one is the end. */
  push(chunk: Uint8Array<ArrayBuffer>): void {
    if (chunk.length > 0) this.#passed = this.#passed.then(() => this.#write(chunk));
  }

  /** No more will come. What has come is written all the same. */
  fail(): void {}

  /** Resolves when what has come by now is written, or cannot be. */
  get passed(): Promise<void> {
    return this.#passed;
  }

  /** Never rejects. A sink that takes no more closes the command's output: SIGPIPE is what it gets for the next byte. */
  async #write(chunk: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.#isOver) return;
    try {
      for (let done = 0; done < chunk.length;) {
        done += await this.#sink.write(chunk.subarray(done));
      }
      this.#events.consumed(chunk.length);
    } catch {
      this.#isOver = true;
      this.#events.cancelled();
    }
  }
}
