/** One request about a file of the guest: a session with the agent (src/guest/agent/files.h). */
import type { VsockConnection } from "../machine/mod.ts";
import { AgentError, VmError } from "./errors.ts";
import { FRAME, type Frame, FrameReader, word } from "./protocol.ts";

/** Answers that another one follows. */
const PARTS: readonly number[] = [FRAME.content, FRAME.entry, FRAME.watching, FRAME.changes];

const ERRORS: Readonly<
  Record<number, { readonly words: string; readonly error: new (message: string) => Error }>
> = {
  1: { words: "not permitted", error: Deno.errors.PermissionDenied },
  2: { words: "no such file or directory", error: Deno.errors.NotFound },
  13: { words: "permission denied", error: Deno.errors.PermissionDenied },
  17: { words: "it exists already", error: Deno.errors.AlreadyExists },
  20: { words: "a part of the path is no directory", error: Deno.errors.NotADirectory },
  21: { words: "it is a directory", error: Deno.errors.IsADirectory },
  26: { words: "it is being executed", error: Deno.errors.Busy },
  28: { words: "no space left", error: Error },
  30: { words: "its file system is read-only", error: Deno.errors.PermissionDenied },
  39: { words: "the directory is not empty", error: Error },
  40: { words: "too many symbolic links", error: Deno.errors.FilesystemLoop },
};

/** A session about a file. */
export class FileRequest implements AsyncDisposable {
  readonly #connection: VsockConnection;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBufferLike>>;
  readonly #reader: FrameReader;
  readonly #verb: string;
  readonly #path: string;
  readonly #signal: AbortSignal | undefined;

  /** To `verb` what is at `path`: for messages. `signal` ends it: what is asked of it then rejects with its reason. */
  constructor(connection: VsockConnection, verb: string, path: string, signal?: AbortSignal) {
    this.#connection = connection;
    this.#writer = connection.writable.getWriter();
    this.#reader = new FrameReader(connection.readable);
    this.#verb = verb;
    this.#path = path;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort, { once: true });
    if (signal?.aborted) this.#abort();
  }

  readonly #abort = (): void => this.close();

  #lost(cause?: unknown): unknown {
    return this.#signal?.aborted ? this.#signal.reason : gone(this.#verb, this.#path, cause);
  }

  /** Sends a frame. Rejects with AgentError. */
  async send(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      await this.#writer.write(bytes);
    } catch (cause) {
      throw this.#lost(cause);
    }
  }

  /** The next part of the answer; undefined when it is whole. Rejects with what went wrong. */
  async next(): Promise<Frame | undefined> {
    let answer: Frame | undefined;
    try {
      answer = await this.#reader.next();
    } catch (cause) {
      this.close();
      throw this.#lost(cause);
    }
    if (answer !== undefined && PARTS.includes(answer.type)) return answer;
    this.close();
    if (answer?.type === FRAME.done) return undefined;
    if (answer?.type === FRAME.error) throw fileError(this.#verb, this.#path, word(answer, 0));
    throw this.#lost();
  }

  /** The end of an answer that has no more parts. */
  async done(): Promise<void> {
    if (await this.next() !== undefined) throw gone(this.#verb, this.#path);
  }

  /** It is of no interest any more. */
  close(): void {
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }
}

function fileError(verb: string, path: string, errno: number): Error {
  const known = ERRORS[errno];
  const message = `Cannot ${verb} "${path}" in the guest: ${known?.words ?? `errno ${errno}`}`;
  return known === undefined || known.error === Error
    ? new VmError(message, "GUEST_FILE")
    : new known.error(message);
}

/** For an agent that does not answer, or not as agreed. */
export function gone(verb: string, path: string, cause?: unknown): AgentError {
  const message = `Lost the guest's agent while it was to ${verb} "${path}"`;
  return new AgentError(message, "AGENT_GONE", cause === undefined ? {} : { cause });
}
