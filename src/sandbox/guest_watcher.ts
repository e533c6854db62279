/** Changes to files of the guest, as `Deno.watchFs` tells them on Linux: by inotify(7) there, in the agent. */
import {
  IN_ATTRIB,
  IN_CLOSE_WRITE,
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_MODIFY,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
} from "../abi/linux.ts";
import type { FileRequest } from "./file_request.ts";
import { type Frame, ProtocolError } from "./protocol.ts";

const HEADER_BYTES = 8;
const KINDS: readonly (readonly [mask: number, kind: Deno.FsEvent["kind"]])[] = [
  [IN_CREATE, "create"],
  [IN_MODIFY | IN_ATTRIB, "modify"],
  [IN_CLOSE_WRITE, "access"],
  [IN_MOVED_TO, "rename"],
  // Where it went may be told by the next event, or by none.
  [IN_DELETE | IN_DELETE_SELF | IN_MOVED_FROM | IN_MOVE_SELF, "remove"],
];

/**
 * Changes, one after the other, from when `ready` has resolved. While they are not taken the guest keeps 16384 of them;
 * when it has lost some there is one of kind `other` with the flag `rescan`. Not taking part in it any more, and disposing of
 * it, ends it.
 */
export class GuestWatcher implements AsyncIterableIterator<Deno.FsEvent>, Disposable {
  /** Resolves when the guest watches. Rejects as the first `next` would: Deno.errors.NotFound, AgentError. */
  readonly ready: Promise<void>;
  readonly #signal: AbortSignal | undefined;
  readonly #events: Deno.FsEvent[] = [];
  #request: FileRequest | undefined;
  #lastMove = { cookie: 0, path: "" };
  #isClosed = false;
  /** The end of the `next` before. */
  #turn: Promise<unknown> = Promise.resolve();

  /** For `GuestFs`; `begun`: the request, once it has been sent. */
  constructor(begun: Promise<FileRequest>, signal: AbortSignal | undefined) {
    this.#signal = signal;
    signal?.addEventListener("abort", this.#close, { once: true });
    this.ready = this.#start(begun);
    this.ready.catch(() => {}); // whoever does not ask hears of it from `next`
  }

  async #start(begun: Promise<FileRequest>): Promise<void> {
    try {
      const request = await begun;
      this.#request = request;
      if (this.#signal?.aborted) this.#close();
      if (this.#isClosed) request.close();
      else await request.next();
      this.#signal?.throwIfAborted();
    } catch (error) {
      this.#signal?.throwIfAborted();
      if (!this.#isClosed) throw error;
    }
  }

  /**
   * The next change; asked for several times at once, the next ones in that order. Rejects with the reason of the signal, with
   * AgentError when the machine ends.
   */
  next(): Promise<IteratorResult<Deno.FsEvent>> {
    const turn = this.#turn.then(() => this.#next());
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #next(): Promise<IteratorResult<Deno.FsEvent>> {
    await this.ready;
    for (;;) {
      this.#signal?.throwIfAborted();
      const value = this.#events.shift();
      if (value !== undefined) return { done: false, value };
      if (this.#isClosed) return { done: true, value: undefined };
      await this.#more();
    }
  }

  async #more(): Promise<void> {
    try {
      const changes = await this.#request?.next();
      if (changes !== undefined) this.#take(changes);
    } catch (error) {
      if (this.#isClosed) return;
      this.#close();
      throw error;
    }
  }

  #take({ bytes }: Frame): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < bytes.length;) {
      const end = bytes.indexOf(0, at + HEADER_BYTES);
      if (end < 0) throw new ProtocolError("A change without a path");
      const path = new TextDecoder().decode(bytes.subarray(at + HEADER_BYTES, end));
      this.#tell(view.getUint32(at, true), view.getUint32(at + 4, true), path);
      at = end + 1;
    }
  }

  #tell(mask: number, cookie: number, path: string): void {
    if ((mask & IN_Q_OVERFLOW) !== 0) {
      this.#events.push({ kind: "other", paths: [], flag: "rescan" });
      return;
    }
    const kind = KINDS.find(([some]) => (mask & some) !== 0)?.[1];
    if (kind === undefined) return;
    this.#events.push({ kind, paths: [path] });
    if ((mask & IN_MOVED_FROM) !== 0) this.#lastMove = { cookie, path };
    if ((mask & IN_MOVED_TO) === 0 || cookie !== this.#lastMove.cookie) return;
    this.#events.push({ kind: "rename", paths: [this.#lastMove.path, path] });
  }

  readonly #close = (): void => {
    this.#isClosed = true;
    this.#signal?.removeEventListener("abort", this.#close);
    this.#request?.close();
  };

  /** Ends it; for `for await`. */
  return(): Promise<IteratorResult<Deno.FsEvent>> {
    this.#close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends it. */
  [Symbol.dispose](): void {
    this.#close();
  }
}
