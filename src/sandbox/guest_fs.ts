/** Files of the guest, with the names that Deno's own functions have. Each call is a session with the agent. */
import type { Agent } from "./agent.ts";
import { FileRequest, gone } from "./file_request.ts";
import { GuestReadable } from "./guest_readable.ts";
import { GuestWatcher } from "./guest_watcher.ts";
import {
  FRAME,
  frame,
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

/** How a file is read, or a tree copied. */
export interface GuestReadOptions {
  /** Ends it: it rejects with its reason. */
  readonly signal?: AbortSignal;
}

/** How a file is written. */
export interface GuestWriteOptions {
  /** Permission bits of the file; of an existing one, too. 0o666 less the umask for a new one when left out. */
  readonly mode?: number;
  /** Behind what is there. */
  readonly append?: boolean;
  /** Only if there is none yet. */
  readonly createNew?: boolean;
  /** Ends it: it rejects with its reason, and what was written by then stays. */
  readonly signal?: AbortSignal;
}

/** How changes are watched. */
export interface GuestWatchOptions {
  /** Also what is in the directories below; true when left out. */
  readonly recursive?: boolean;
  /** Ends it: the next change rejects with its reason. */
  readonly signal?: AbortSignal;
}

/** Rejects with Deno.errors.* as Deno's own functions would, and AgentError. */
export class GuestFs {
  readonly #agent: Pick<Agent, "open">;

  /** For `Vm`. */
  constructor(agent: Pick<Agent, "open">) {
    this.#agent = agent;
  }

  /** The whole of a file. */
  async readFile(path: string, options?: GuestReadOptions): Promise<Uint8Array<ArrayBuffer>> {
    return await this.readStream(path, options).bytes();
  }

  /** The whole of a file, as text (UTF-8). */
  async readTextFile(path: string, options?: GuestReadOptions): Promise<string> {
    return await this.readStream(path, options).text();
  }

  /** A file piece by piece, read as fast as it is taken. The stream fails when the file cannot be read. */
  readStream(path: string, { signal }: GuestReadOptions = {}): GuestReadable {
    let request: FileRequest | undefined;
    return new GuestReadable({
      pull: async (controller) => {
        request ??= await this.#begin(FRAME.read, "read", path, { signal });
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
    { mode, append = false, createNew = false, signal }: GuestWriteOptions = {},
  ): Promise<void> {
    const flags = (append ? WRITE_APPEND : 0) | (createNew ? WRITE_NEW : 0);
    await using request = await this.#begin(FRAME.write, "write", path, { flags, mode, signal });
    const stream = data instanceof ReadableStream ? data : ReadableStream.from([data]);
    const write = async (chunk: Uint8Array<ArrayBufferLike>): Promise<void> => {
      for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
        await request.send(frame(FRAME.data, chunk.subarray(at, at + PIECE_BYTES)));
      }
    };
    await stream.pipeTo(new WritableStream({ write }), signal === undefined ? {} : { signal });
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
   * Changes to a file, or to what is in a directory; unless `recursive` is false, to all that is below it. The paths begin
   * with `path`. A directory made while it is watched is watched, too, and what is in it by then counts as just made.
   *
   * ```ts
   * import { Vm } from "@dinovisor/dinovisor";
   *
   * await using vm = await Vm.boot();
   * using changes = vm.fs.watch("/tmp");
   * await changes.ready;
   * await vm.fs.writeTextFile("/tmp/new", "");
   * for await (const { kind, paths } of changes) {
   *   console.log(kind, paths); // create [ "/tmp/new" ]
   *   break;
   * }
   * ```
   */
  watch(path: string, { recursive = true, signal }: GuestWatchOptions = {}): GuestWatcher {
    const begun = this.#begin(FRAME.watch, "watch", path, { flags: recursive ? RECURSIVE : 0 });
    return new GuestWatcher(begun, signal);
  }

  /**
   * Copies a file or a whole directory of the host into the guest, and makes the directories above it. Links are followed.
   */
  async upload(
    host: string | URL,
    guest: string,
    { signal }: GuestReadOptions = {},
  ): Promise<void> {
    await upload(this, host, guest, signal);
  }

  /**
   * Copies a file or a whole directory of the guest to the host, and makes the directories above it. Symbolic links are left
   * out, since the guest could lead them anywhere.
   */
  async download(
    guest: string,
    host: string | URL,
    { signal }: GuestReadOptions = {},
  ): Promise<void> {
    await download(this, guest, host, signal);
  }

  async #begin(
    type: number,
    verb: string,
    path: string,
    { flags = 0, mode = UNCHANGED, other, signal }: {
      readonly flags?: number;
      readonly mode?: number | undefined;
      readonly other?: string;
      readonly signal?: AbortSignal | undefined;
    } = {},
  ): Promise<FileRequest> {
    const paths = other === undefined ? [path] : [path, other];
    if (paths.some(hasNul)) throw new TypeError(`A path has no NUL in it: ${JSON.stringify(path)}`);
    signal?.throwIfAborted();
    const request = new FileRequest(await this.#agent.open(), verb, path, signal);
    await request.send(frame(type, words(flags, mode), texts(...paths)));
    return request;
  }
}
