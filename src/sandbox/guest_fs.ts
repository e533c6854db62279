/** Files of the guest, with the names that Deno's own functions have. Each call is a session with the agent. */
import type { VsockConnection } from "../machine/mod.ts";
import type { Agent } from "./agent.ts";
import { AgentError, VmError } from "./errors.ts";
import { GuestReadable } from "./guest_readable.ts";
import {
  FRAME,
  type Frame,
  frame,
  FrameReader,
  hasNul,
  NO_FOLLOW,
  readStatus,
  RECURSIVE,
  texts,
  UNCHANGED,
  word,
  words,
  WRITE_APPEND,
  WRITE_NEW,
} from "./protocol.ts";
import { download, upload } from "./trees.ts";

/** Most bytes of a file in one frame. */
const PIECE_BYTES = 32 * 1024;
/** dirent.h */
const DT_DIR = 4;
const DT_REG = 8;
const DT_LNK = 10;

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

/** How a file is written. */
export interface GuestWriteOptions {
  /** Permission bits of the file; of an existing one, too. 0o666 less the umask for a new one when left out. */
  readonly mode?: number;
  /** Behind what is there. */
  readonly append?: boolean;
  /** Only if there is none yet. */
  readonly createNew?: boolean;
}

/** Rejects with Deno.errors.* as Deno's own functions would, and AgentError. */
export class GuestFs {
  readonly #agent: Pick<Agent, "open">;

  /** For `Vm`. */
  constructor(agent: Pick<Agent, "open">) {
    this.#agent = agent;
  }

  /** The whole of a file. */
  async readFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
    return await this.readStream(path).bytes();
  }

  /** The whole of a file, as text (UTF-8). */
  async readTextFile(path: string): Promise<string> {
    return await this.readStream(path).text();
  }

  /** A file piece by piece, read as fast as it is taken. The stream fails when the file cannot be read. */
  readStream(path: string): GuestReadable {
    let request: Request | undefined;
    return new GuestReadable({
      pull: async (controller) => {
        request ??= await this.#begin(FRAME.read, "read", path);
        const piece = await request.next();
        if (piece?.type === FRAME.content) controller.enqueue(piece.bytes);
        else controller.close();
      },
      cancel: () => request?.close(),
    }, { highWaterMark: 0 });
  }

  /** Writes a file; its directory must be there. What a failing `data` has given is in it. */
  async writeFile(
    path: string,
    data: Uint8Array<ArrayBufferLike> | ReadableStream<Uint8Array<ArrayBufferLike>>,
    { mode, append = false, createNew = false }: GuestWriteOptions = {},
  ): Promise<void> {
    const flags = (append ? WRITE_APPEND : 0) | (createNew ? WRITE_NEW : 0);
    await using request = await this.#begin(FRAME.write, "write", path, { flags, mode });
    const stream = data instanceof ReadableStream ? data : ReadableStream.from([data]);
    for await (const chunk of stream) {
      for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
        await request.send(frame(FRAME.data, chunk.subarray(at, at + PIECE_BYTES)));
      }
    }
    await request.send(frame(FRAME.data));
    await request.done();
  }

  /** Writes a text (UTF-8). */
  async writeTextFile(path: string, text: string, options?: GuestWriteOptions): Promise<void> {
    await this.writeFile(path, new TextEncoder().encode(text), options);
  }

  /** What is in a directory, in no order, without `.` and `..`. */
  async *readDir(path: string): AsyncGenerator<Deno.DirEntry> {
    await using request = await this.#begin(FRAME.list, "read the directory", path);
    for (let entry = await request.next(); entry !== undefined; entry = await request.next()) {
      const type = word(entry, 0);
      yield {
        name: new TextDecoder().decode(entry.bytes.subarray(4)),
        isFile: type === DT_REG,
        isDirectory: type === DT_DIR,
        isSymlink: type === DT_LNK,
      };
    }
  }

  /** What a path leads to. */
  async stat(path: string): Promise<Deno.FileInfo> {
    return await this.#status(path, 0);
  }

  /** What a path is; a symbolic link is not followed. */
  async lstat(path: string): Promise<Deno.FileInfo> {
    return await this.#status(path, NO_FOLLOW);
  }

  async #status(path: string, flags: number): Promise<Deno.FileInfo> {
    await using request = await this.#begin(FRAME.stat, "look at", path, { flags });
    const entry = await request.next();
    if (entry === undefined) throw gone("look at", path);
    await request.done();
    return readStatus(entry);
  }

  /** Makes a directory; with `recursive` those above it, too, and it may exist. `mode` is 0o777 when left out. */
  async mkdir(path: string, { recursive = false, mode = 0o777 }: Deno.MkdirOptions = {}): Promise<
    void
  > {
    const flags = recursive ? RECURSIVE : 0;
    await using request = await this.#begin(FRAME.mkdir, "make the directory", path, {
      flags,
      mode,
    });
    await request.done();
  }

  /** Removes a file or an empty directory; with `recursive` all that is in it, too. */
  async remove(path: string, { recursive = false }: Deno.RemoveOptions = {}): Promise<void> {
    const flags = recursive ? RECURSIVE : 0;
    await using request = await this.#begin(FRAME.remove, "remove", path, { flags });
    await request.done();
  }

  /** Renames within a file system; what has the new name is replaced. */
  async rename(oldPath: string, newPath: string): Promise<void> {
    await using request = await this.#begin(FRAME.rename, "rename", oldPath, { other: newPath });
    await request.done();
  }

  /**
   * Copies a file or a whole directory of the host into the guest, and makes the directories above it. Links are followed.
   */
  async upload(host: string | URL, guest: string): Promise<void> {
    await upload(this, host, guest);
  }

  /**
   * Copies a file or a whole directory of the guest to the host, and makes the directories above it. Symbolic links are left
   * out, since the guest could lead them anywhere.
   */
  async download(guest: string, host: string | URL): Promise<void> {
    await download(this, guest, host);
  }

  async #begin(
    type: number,
    verb: string,
    path: string,
    { flags = 0, mode = UNCHANGED, other }: {
      readonly flags?: number;
      readonly mode?: number | undefined;
      readonly other?: string;
    } = {},
  ): Promise<Request> {
    const paths = other === undefined ? [path] : [path, other];
    if (paths.some(hasNul)) throw new TypeError(`A path has no NUL in it: ${JSON.stringify(path)}`);
    const request = new Request(await this.#agent.open(), verb, path);
    await request.send(frame(type, words(flags, mode), texts(...paths)));
    return request;
  }
}

/** A file request under way. */
class Request implements AsyncDisposable {
  readonly #connection: VsockConnection;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBufferLike>>;
  readonly #reader: FrameReader;
  readonly #verb: string;
  readonly #path: string;

  constructor(connection: VsockConnection, verb: string, path: string) {
    this.#connection = connection;
    this.#writer = connection.writable.getWriter();
    this.#reader = new FrameReader(connection.readable);
    this.#verb = verb;
    this.#path = path;
  }

  async send(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      await this.#writer.write(bytes);
    } catch (cause) {
      throw gone(this.#verb, this.#path, cause);
    }
  }

  /** The next part of the answer; undefined when it is whole. Rejects with what went wrong. */
  async next(): Promise<Frame | undefined> {
    let answer: Frame | undefined;
    try {
      answer = await this.#reader.next();
    } catch (cause) {
      this.close();
      throw gone(this.#verb, this.#path, cause);
    }
    if (answer?.type === FRAME.content || answer?.type === FRAME.entry) return answer;
    this.close();
    if (answer?.type === FRAME.done) return undefined;
    if (answer?.type === FRAME.error) throw fileError(this.#verb, this.#path, word(answer, 0));
    throw gone(this.#verb, this.#path);
  }

  async done(): Promise<void> {
    if (await this.next() !== undefined) throw gone(this.#verb, this.#path);
  }

  close(): void {
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

function gone(verb: string, path: string, cause?: unknown): AgentError {
  const message = `Lost the guest's agent while it was to ${verb} "${path}"`;
  return new AgentError(message, "AGENT_GONE", cause === undefined ? {} : { cause });
}
