/** One session with the shell's agent: frames on one side, lines about a job on the other. */
import type { VsockConnection } from "../machine/mod.ts";
import { execOf, FRAME, type Frame, frame, FrameReader, word, words } from "./protocol.ts";
import { answerOf, jobOf } from "./shell_jobs.ts";

/** What is said about a job. */
export interface ShellLine {
  readonly word: string;
  readonly value: string;
}

/** Sends a line about the job; resolves when it is on its way. */
export type SendLine = (...line: readonly (string | number)[]) => Promise<unknown>;

/** Room is told of in so many pieces at once: a line for each would cost the guest more than the piece. */
const ROOM_PIECES = 8;
/** How long an exit that is to be told last waits for outputs that somebody else may hold open. */
const OUTPUT_GRACE_MS = 1000;
/** include/uapi/asm-generic/errno.h */
const ENOSYS = 38;
const OUTPUTS = ["O", "E"] as const;

/** Lives from a call to the end of its job. */
export class ShellSession {
  /** What the caller has. */
  readonly connection: VsockConnection;
  /** Resolves when nothing more will come. */
  readonly ended: Promise<void>;
  readonly #send: SendLine;
  readonly #ended = Promise.withResolvers<void>();
  readonly #answers: TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>;
  readonly #answer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  /** Sizes of pieces that were taken over and not consumed yet, for each output. */
  readonly #pieces: readonly [number[], number[]] = [[], []];
  readonly #consumed: [bytes: number, bytes: number] = [0, 0];
  readonly #room: [pieces: number, pieces: number] = [0, 0];
  readonly #inputs: number[] = [];
  #request: Frame | undefined;
  #content: Uint8Array<ArrayBuffer>[] = [];
  #wakeInput: (() => void) | undefined;
  #exitStatus = 0;
  #hasStarted = false;
  #exitIsLast = false;
  #isTold = false;
  #untold: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(send: SendLine) {
    this.#send = send;
    this.ended = this.#ended.promise;
    // What waits in it is bounded by what the guest was told there is room for.
    this.#answers = new TransformStream();
    this.#answer = this.#answers.writable.getWriter();
    const requests = new TransformStream<Uint8Array<ArrayBufferLike>, Uint8Array<ArrayBuffer>>({
      transform: (chunk, controller) => controller.enqueue(new Uint8Array(chunk)),
    });
    this.connection = {
      readable: this.#answers.readable,
      writable: requests.writable,
      close: () => this.#close(),
      [Symbol.asyncDispose]: () => Promise.resolve(this.#close()),
    };
    this.#serve(new FrameReader(requests.readable));
  }

  /** The caller's frames. Never rejects: what is no frame ends the session. */
  async #serve(reader: FrameReader): Promise<void> {
    try {
      for (let next = await reader.next(); next !== undefined; next = await reader.next()) {
        if (this.#request === undefined) await this.#begin(next);
        else await this.#obey(next);
      }
    } catch {
      this.#close();
    }
  }

  async #begin(request: Frame): Promise<void> {
    this.#request = request;
    const job = jobOf(request);
    if (job === undefined) return this.#refuse(request);
    this.#exitIsLast = request.type === FRAME.exec && execOf(request).exitLast;
    await this.#send("run", job.pipes, new TextEncoder().encode(job.script).toBase64());
  }

  /** What a shell cannot do. */
  #refuse({ type }: Frame): void {
    this.#say(type === FRAME.exec ? frame(FRAME.failed, words(0, ENOSYS)) : errorFrame(ENOSYS));
    this.#end();
  }

  async #obey(request: Frame): Promise<void> {
    if (this.#isOver) return;
    const { type, bytes } = request;
    const which = word(request, 0) === 1 ? 1 : 0;
    switch (type) {
      case FRAME.input:
      case FRAME.data:
        if (type === FRAME.data) await this.#fileInput(bytes.length);
        else this.#inputs.push(bytes.length);
        if (bytes.length === 0) return void await this.#send("eof");
        return void await this.#send("in", bytes.toBase64());
      case FRAME.inputEnd:
        return void await this.#send("eof");
      case FRAME.signal:
        return void await this.#send("kill", word(request, 0));
      case FRAME.credit:
        return this.#hasConsumed(which, word(request, 1));
      case FRAME.close:
        return void await this.#send("shut", OUTPUTS[which]);
    }
  }

  /** A file's bytes wait until there is somebody to take them, and until those before them were taken. */
  async #fileInput(size: number): Promise<void> {
    while ((!this.#hasStarted || this.#inputs.length > 0) && !this.#isOver) {
      await new Promise<void>((resolve) => this.#wakeInput = resolve);
    }
    this.#inputs.push(size);
  }

  #hasConsumed(which: 0 | 1, bytes: number): void {
    this.#consumed[which] += bytes;
    const pieces = this.#pieces[which];
    for (
      let size = pieces[0];
      size !== undefined && size <= this.#consumed[which];
      size = pieces[0]
    ) {
      pieces.shift();
      this.#consumed[which] -= size;
      this.#room[which]++;
    }
    // The last ones at once: the guest may wait for just these.
    if (this.#room[which] < ROOM_PIECES && pieces.length > 0) return;
    if (this.#room[which] > 0) this.#send("room", OUTPUTS[which], this.#room[which]);
    this.#room[which] = 0;
  }

  /** A line of the guest's about this job. Throws nothing: an odd one ends this session only. */
  take({ word: said, value }: ShellLine): void {
    if (this.#isOver || this.#request === undefined) return;
    try {
      this.#take(this.#request, said, value);
    } catch {
      this.lost(new Error(`An odd line: ${said.slice(0, 20)}`));
    }
  }

  #take(request: Frame, said: string, value: string): void {
    const isCommand = request.type === FRAME.exec;
    switch (said) {
      case "started":
        this.#hasStarted = true;
        this.#wakeInput?.();
        if (!isCommand) return;
        return this.#say(frame(FRAME.started, words(Number(value))));
      case "failed": {
        const [stage = 0, errno = 0] = value.split(",").map(Number);
        this.#say(frame(FRAME.failed, words(stage, errno)));
        return this.#end();
      }
      case "O":
      case "E": {
        const which = said === "O" ? 0 : 1;
        const bytes = value === "" ? new Uint8Array() : Uint8Array.fromBase64(value);
        if (isCommand) return this.#output(which, bytes);
        if (bytes.length > 0) this.#fileContent(request, bytes);
        return;
      }
      case "taken": {
        const size = this.#inputs.shift() ?? 0;
        this.#wakeInput?.();
        if (isCommand) this.#say(frame(FRAME.inputTaken, words(size)));
        return;
      }
      case "closed":
        if (isCommand) this.#say(frame(FRAME.inputClosed));
        return;
      case "exit":
        return this.#exit(request, Number(value));
      case "end":
        if (isCommand) this.#tellExit();
        else this.#finish(request);
        return this.#end();
    }
  }

  #output(which: 0 | 1, bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.length > 0) this.#pieces[which].push(bytes.length);
    this.#say(frame(FRAME.output + which, bytes));
  }

  #fileContent({ type }: Frame, bytes: Uint8Array<ArrayBuffer>): void {
    if (type !== FRAME.read) {
      this.#content.push(bytes);
      this.#send("room", "O", 1);
      return;
    }
    this.#pieces[0].push(bytes.length);
    this.#answer.write(frame(FRAME.content, bytes)).catch(() => {})
      .finally(() => this.#hasConsumed(0, bytes.length));
  }

  #exit({ type }: Frame, status: number): void {
    this.#exitStatus = status;
    this.#wakeInput?.();
    if (type !== FRAME.exec) return;
    if (!this.#exitIsLast) return this.#tellExit();
    // Behind its outputs, which programs that it has left may keep open for ever.
    this.#untold = setTimeout(() => this.#tellExit(), OUTPUT_GRACE_MS);
  }

  #tellExit(): void {
    clearTimeout(this.#untold);
    if (this.#isTold) return;
    this.#isTold = true;
    const status = this.#exitStatus;
    // A shell does not tell a signal from a status above 128; programs seldom have such a one.
    const signal = status > 128 && status <= 128 + 64 ? status - 128 : 0;
    this.#say(frame(FRAME.exit, words(signal === 0 ? status : 0, signal)));
  }

  /** What a file request has come to: its job's status is an error number. */
  #finish(request: Frame): void {
    if (this.#exitStatus !== 0) return this.#say(errorFrame(this.#exitStatus));
    for (const answer of answerOf(request, this.#content)) this.#say(answer);
    this.#say(frame(FRAME.done));
  }

  #say(bytes: Uint8Array<ArrayBuffer>): void {
    this.#answer.write(bytes).catch(() => {}); // nobody reads any more
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#wakeInput?.();
    this.#answer.close().catch(() => {});
    this.#ended.resolve();
  }

  /** The agent has gone, or the caller will not hear more. */
  lost(reason: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#untold);
    this.#wakeInput?.();
    this.#answer.abort(reason).catch(() => {});
    this.#ended.resolve();
  }

  /** Ends the job and all it has started. */
  #close(): void {
    if (this.#isOver) return;
    if (this.#request !== undefined) this.#send("drop");
    this.lost(new Error("The session was closed"));
  }
}

function errorFrame(errno: number): Uint8Array<ArrayBuffer> {
  return frame(FRAME.error, words(errno, 0));
}
