/** A command that runs in the guest: a session with the agent (src/guest/agent/command.h). */
import type { VsockConnection } from "../machine/mod.ts";
import { AgentError, VmError } from "./errors.ts";
import { GuestOutput } from "./guest_output.ts";
import type { GuestReadable } from "./guest_readable.ts";
import { type ByteSink, type ByteSource, feed, OutputSink } from "./host_streams.ts";
import { OutputQueue } from "./output_queue.ts";
import { FRAME, type Frame, frame, type FrameReader, word, words } from "./protocol.ts";
import { commandStatus, signalNumber } from "./signals.ts";

/** Most bytes of input in one frame. */
const INPUT_BYTES = 32 * 1024;
/** A command that was asked to end by its AbortSignal has so long to do it. */
const GRACE_MS = 5000;

/** Where one of a command's outputs goes. */
export type OutputTarget = "piped" | "null" | ByteSink;

/** What a session was made with. */
export interface GuestProcessSetup {
  /** The command, for messages. */
  readonly what: string;
  readonly connection: VsockConnection;
  readonly reader: FrameReader;
  readonly pid: number;
  /** Bytes of input that the agent has room for. */
  readonly inputRoom: number;
  /** Where its input comes from. */
  readonly input: "piped" | "null" | ByteSource;
  /** Where its output and its errors go. */
  readonly outputs: readonly [output: OutputTarget, errors: OutputTarget];
  readonly signal: AbortSignal | undefined;
}

/**
 * A command in the guest, and all it has started: signals go to its process group. Disposing of it ends what still runs
 * there.
 */
export class GuestProcess implements AsyncDisposable {
  /** Its process id in the guest. */
  readonly pid: number;
  /** What it prints. */
  readonly stdout: GuestReadable;
  /** What it prints as errors; nothing with a terminal, whose output is all in `stdout`. */
  readonly stderr: GuestReadable;
  /**
   * How it ends. Its outputs may go on after that: of programs it has started and left. Rejects with AgentError when the
   * guest goes away first.
   */
  readonly status: Promise<Deno.CommandStatus>;
  readonly #stdin: WritableStream<Uint8Array<ArrayBufferLike>> | undefined;
  readonly #what: string;
  readonly #connection: VsockConnection;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBufferLike>>;
  readonly #outputs: readonly [OutputQueue | OutputSink, OutputQueue | OutputSink];
  readonly #exited = Promise.withResolvers<Deno.CommandStatus>();
  readonly #pumped: Promise<void>;
  #hasExited = false;
  #isDisposed = false;
  #inputRoom: number;
  #inputIsOver = false;
  #wakeInput: (() => void) | undefined;
  #grace: ReturnType<typeof setTimeout> | undefined;

  /** For `Agent`: the command has been started. */
  constructor(setup: GuestProcessSetup) {
    this.pid = setup.pid;
    this.#what = setup.what;
    this.#connection = setup.connection;
    this.#writer = setup.connection.writable.getWriter();
    this.#inputRoom = setup.inputRoom;
    this.#outputs = [this.#output(0, setup.outputs[0]), this.#output(1, setup.outputs[1])];
    this.stdout = this.#outputs[0].stream;
    this.stderr = this.#outputs[1].stream;
    this.status = this.#exited.promise;
    this.status.catch(() => {}); // whoever does not ask need not hear
    this.#stdin = setup.input === "piped" ? this.#inputStream() : undefined;
    if (typeof setup.input === "object") feed(setup.input, this.#inputStream());
    this.#pumped = this.#pump(setup.reader);
    this.#obey(setup.signal);
  }

  /** Its input; closing it is the end of the input. Throws VmError when it was started without. */
  get stdin(): WritableStream<Uint8Array<ArrayBufferLike>> {
    if (this.#stdin !== undefined) return this.#stdin;
    throw new VmError("Cannot write to a command without input", "NO_STDIN", {
      hint: 'start it with { stdin: "piped" }',
    });
  }

  #output(which: number, target: OutputTarget): OutputQueue | OutputSink {
    const events = {
      consumed: (bytes: number) => this.#send(frame(FRAME.credit, words(which, bytes))),
      cancelled: () => this.#send(frame(FRAME.close, words(which))),
    };
    if (typeof target === "object") return new OutputSink(target, events);
    const queue = new OutputQueue(events);
    if (target === "null") queue.push(new Uint8Array());
    return queue;
  }

  /** A session that has ended does not listen: nothing is lost by not telling it. */
  #send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#writer.write(bytes).catch(() => {});
  }

  #inputStream(): WritableStream<Uint8Array<ArrayBufferLike>> {
    return new WritableStream({
      write: async (chunk) => {
        for (let at = 0; at < chunk.length;) {
          await this.#roomForInput();
          const size = Math.min(chunk.length - at, this.#inputRoom, INPUT_BYTES);
          this.#inputRoom -= size;
          await this.#writer.write(frame(FRAME.input, chunk.subarray(at, at + size)));
          at += size;
        }
      },
      close: () => this.#send(frame(FRAME.inputEnd)),
      abort: () => this.#send(frame(FRAME.inputEnd)),
    });
  }

  async #roomForInput(): Promise<void> {
    while (this.#inputRoom === 0 && !this.#inputIsOver) {
      await new Promise<void>((resolve) => this.#wakeInput = resolve);
    }
    if (!this.#inputIsOver) return;
    throw new Deno.errors.BrokenPipe(`"${this.#what}" does not read its input any more`);
  }

  #endInput(): void {
    this.#inputIsOver = true;
    this.#wakeInput?.();
  }

  /** Takes all frames until the agent has no more. Never rejects. */
  async #pump(reader: FrameReader): Promise<void> {
    let error: unknown;
    try {
      for (let next = await reader.next(); next !== undefined; next = await reader.next()) {
        this.#take(next);
      }
    } catch (cause) {
      error = cause;
    }
    clearTimeout(this.#grace);
    this.#endInput();
    const lost = this.#isDisposed
      ? new VmError(`The handle of "${this.#what}" was disposed of`, "DISPOSED")
      : new AgentError(`Lost the guest's agent while "${this.#what}" ran`, "AGENT_GONE", {
        ...(error === undefined ? {} : { cause: error }),
        hint: "the machine has ended, or the guest is out of memory: see its console",
      });
    if (!this.#hasExited) this.#exited.reject(lost);
    // Without a word of their end they are not whole.
    for (const output of this.#outputs) output.fail(lost);
    this.#connection.close();
  }

  #take(next: Frame): void {
    switch (next.type) {
      case FRAME.output:
        return this.#outputs[0].push(next.bytes);
      case FRAME.errors:
        return this.#outputs[1].push(next.bytes);
      case FRAME.exit:
        this.#hasExited = true;
        clearTimeout(this.#grace);
        this.#endInput();
        return this.#tellEnd(commandStatus(word(next, 0), word(next, 1)));
      case FRAME.inputTaken:
        this.#inputRoom += word(next, 0);
        return this.#wakeInput?.();
      case FRAME.inputClosed:
        return this.#endInput();
    }
  }

  /** Behind what it has written to streams of this process: it is there for whoever hears of the end. */
  #tellEnd(status: Deno.CommandStatus): void {
    const passed = Promise.all(this.#outputs.map((output) => output.passed));
    this.#exited.resolve(passed.then(() => status));
  }

  /** As Deno.Command does it: a signal that is aborted asks the command to end, and its status says how it did. */
  #obey(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const end = (): void => {
      this.kill("SIGTERM");
      this.#grace = setTimeout(() => this.kill("SIGKILL"), GRACE_MS);
    };
    if (signal.aborted) return end();
    signal.addEventListener("abort", end, { once: true });
    this.status.catch(() => {}).finally(() => signal.removeEventListener("abort", end));
  }

  /** Waits for the end of it all: everything printed, and the status. */
  async output(): Promise<GuestOutput> {
    const [stdout, stderr, status] = await Promise.all([
      this.stdout.bytes(),
      this.stderr.bytes(),
      this.status,
    ]);
    return new GuestOutput(this.#what, status, stdout, stderr);
  }

  /** Sends a signal, SIGTERM when left out, to the command and all it has started. Does nothing once it has ended. */
  kill(signal: Deno.Signal = "SIGTERM"): void {
    const number = signalNumber(signal);
    if (number === undefined) throw new TypeError(`Linux has no signal "${signal}"`);
    if (!this.#hasExited) this.#send(frame(FRAME.signal, words(number)));
  }

  /** The terminal has a new size, in characters. */
  resize({ columns, rows }: { readonly columns: number; readonly rows: number }): void {
    this.#send(frame(FRAME.resize, words(columns, rows)));
  }

  /** Ends what still runs of it (SIGKILL), and waits until nothing is left on this side. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    this.#connection.close();
    await this.#pumped;
  }
}
