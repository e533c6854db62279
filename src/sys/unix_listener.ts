/** A Unix socket that others call. Used by the backends of virtio-net and virtio-vsock. */
import { type FdNumber, OwnedFd } from "./fd.ts";
import { EADDRINUSE, ECONNREFUSED, SysError } from "./sys_error.ts";
import { acceptUnix, connectUnix, listenUnix } from "./unix_socket.ts";

/** Listens from its making to `close`. Its file goes with it, unless somebody has put another one in its place. */
export class UnixListener implements Disposable {
  readonly #path: string;
  readonly #socket: OwnedFd;
  readonly #file: string | undefined;

  /**
   * A socket file at `path` that nobody listens on any more, left behind by a monitor that was killed, is replaced. Throws
   * SysError (EADDRINUSE, EACCES, ENOENT).
   */
  constructor(path: string) {
    this.#path = path;
    this.#socket = listenInPlaceOf(path);
    this.#file = fileAt(path);
  }

  /** Readable (EPOLLIN) while somebody waits to be let in. */
  get fd(): FdNumber {
    return this.#socket.number;
  }

  /** The next caller, or an errno: EAGAIN when nobody waits, EMFILE when there is no descriptor for who does. */
  accept(): OwnedFd | number {
    return acceptUnix(this.fd);
  }

  close(): void {
    this.#socket.close();
    if (this.#file !== undefined && this.#file === fileAt(this.#path)) removeFile(this.#path);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Two that come to the same abandoned file at once are told apart by bind, which only one of them can do. */
function listenInPlaceOf(path: string): OwnedFd {
  try {
    return listenUnix(path);
  } catch (error) {
    if (!(error instanceof SysError) || error.errno !== EADDRINUSE) throw error;
    const other = connectUnix(path);
    if (other !== ECONNREFUSED) {
      if (typeof other !== "number") other.close();
      throw new SysError(error.call, error.errno, "another program, or machine, listens there");
    }
    removeFile(path);
    return listenUnix(path);
  }
}

/** What tells a file from any other; undefined where there is none, as for names in the abstract namespace. */
function fileAt(path: string): string | undefined {
  if (path.startsWith("\0")) return undefined;
  try {
    const { dev, ino, isSocket } = Deno.lstatSync(path);
    return isSocket === true ? `${dev}:${ino}` : undefined;
  } catch {
    return undefined;
  }
}

function removeFile(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // somebody has cleaned up already, or the directory is no longer ours to write
  }
}
