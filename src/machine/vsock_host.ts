/**
 * The guest's sockets for the machine's owner: byte streams without a socket file. They are Unix sockets in the
 * abstract namespace, between this isolate's own event loop (Deno.connect, Deno.listen) and the I/O thread's, so the
 * kernel does the waiting and the back-pressure on both sides, and nothing is shared but a name.
 *
 * Such a name can be called by anybody on the host. The I/O thread lets in none but this process (SO_PEERCRED); to
 * listeners here it proves itself by a token that only the two of them know. Used by `machine.ts`.
 */
import type { OwnerSocket } from "../virtio/device_maker.ts";
import type { MachineStatus } from "./machine_options.ts";
import { MachineError, stateError } from "./machine_error.ts";

const TOKEN_BYTES = 16;
/** How long a caller of a listener may take to send the token. It is there before the call, unless it is a stranger. */
const TOKEN_MS = 2000;
/** Most bytes of one piece that a stream gives. */
const READ_BYTES = 64 * 1024;
/** `OK 4294967295\n` */
const OK_LINE_BYTES = 14;

/** One connection between the machine's owner and a program in the guest. */
export interface VsockConnection extends AsyncDisposable {
  /** What the guest sends. Ends when the guest ends its output; errors when the connection is reset. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** To the guest. Writes wait while the guest does not read. Closing it ends the output only. */
  readonly writable: WritableStream<Uint8Array<ArrayBufferLike>>;
  /** Ends both directions at once; what the guest was sent and has not read may be lost. Does nothing the second time. */
  close(): void;
}

/** Takes the guest's calls of one port. */
export interface VsockListener extends AsyncDisposable, AsyncIterable<VsockConnection> {
  /** The port of the host. */
  readonly port: number;
  /** The next call. Rejects with MachineError CLOSED when there will not be one. */
  accept(): Promise<VsockConnection>;
  /** The guest's calls are refused from now on; connections accepted stay. */
  close(): void;
}

/** Names for one machine that nobody can guess. */
export function newOwnerSocket(): OwnerSocket {
  return {
    path: `\0dinovisor-${crypto.randomUUID()}`,
    token: crypto.getRandomValues(new Uint8Array(TOKEN_BYTES)),
  };
}

/**
 * `host`, or a MachineError: NO_VSOCK when the machine has no vsock device, STATE when it cannot be asked for that in
 * `state`. One may listen before the guest runs, or its first calls would be refused.
 */
export function requireVsock(
  host: VsockHost | undefined,
  state: MachineStatus,
  wish: "connect to" | "listen in",
): VsockHost {
  if (host === undefined) {
    throw new MachineError(
      `Cannot ${wish} a machine without a vsock device`,
      "NO_VSOCK",
      'give it one: devices: [{ kind: "vsock", cid: 3 }]',
    );
  }
  const early = state === "created" && wish === "connect to";
  if (early || state === "stopping" || state === "stopped") throw stateError(wish, state);
  return host;
}

/** Which port, and for how long to try. */
export interface VsockAddress {
  /** 0 to 4294967294. */
  readonly vsock: number;
  /** Gives up when it is aborted. */
  readonly signal?: AbortSignal;
}

/** The owner's end of a machine's vsock device. */
export class VsockHost {
  readonly #socket: OwnerSocket;
  readonly #open = new Set<{ close(): void }>();

  constructor(socket: OwnerSocket) {
    this.#socket = socket;
  }

  /**
   * Calls the guest's port. Rejects with MachineError VSOCK_REFUSED when nobody listens there (or the guest does not
   * answer within two seconds), VSOCK_PORT, or the signal's reason.
   */
  async connect({ vsock: port, signal }: VsockAddress): Promise<VsockConnection> {
    checkPort(port);
    signal?.throwIfAborted();
    const conn = await Deno.connect({ transport: "unix", path: this.#socket.path });
    const giveUp = (): void => closeQuietly(conn);
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      await conn.write(new TextEncoder().encode(`CONNECT ${port}\n`));
      if (!await readOk(conn)) throw refused(port);
    } catch (error) {
      closeQuietly(conn);
      signal?.throwIfAborted();
      throw error instanceof MachineError ? error : refused(port);
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
    return this.#keep(new UnixConnection(conn, (ended) => this.#open.delete(ended)));
  }

  /** Throws MachineError VSOCK_IN_USE when the port has a listener, VSOCK_PORT. */
  listen({ vsock: port }: { readonly vsock: number }): VsockListener {
    checkPort(port);
    const { path, token } = this.#socket;
    try {
      const listener = Deno.listen({ transport: "unix", path: `${path}_${port}` });
      const adopt = (conn: Deno.UnixConn): VsockConnection =>
        this.#keep(new UnixConnection(conn, (ended) => this.#open.delete(ended)));
      return this.#keep(
        new UnixListener(port, listener, token, adopt, (ended) => this.#open.delete(ended)),
      );
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      throw new MachineError(
        `Cannot listen on vsock port ${port}: it has a listener already`,
        "VSOCK_IN_USE",
        "close the other one first, or choose another port",
      );
    }
  }

  #keep<T extends { close(): void }>(item: T): T {
    this.#open.add(item);
    return item;
  }

  /** The machine is over: closes everything. */
  close(): void {
    for (const item of [...this.#open]) item.close();
  }
}

class UnixConnection implements VsockConnection {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly writable: WritableStream<Uint8Array<ArrayBufferLike>>;
  readonly #conn: Deno.UnixConn;
  readonly #ended: (self: UnixConnection) => void;
  readonly #ends = new Set<"input" | "output">();

  constructor(conn: Deno.UnixConn, ended: (self: UnixConnection) => void) {
    this.#conn = conn;
    this.#ended = ended;
    // Not the streams that Deno gives: the end of either would close both directions.
    this.readable = new ReadableStream({
      pull: (controller) => this.#pull(controller),
      cancel: () => this.close(),
    }, { highWaterMark: 0 });
    this.writable = new WritableStream({
      write: (bytes) => writeAll(conn, bytes),
      close: async () => {
        await conn.closeWrite();
        this.#over("output");
      },
      abort: () => this.close(),
    });
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>): Promise<void> {
    const bytes = new Uint8Array(READ_BYTES);
    const count = await this.#conn.read(bytes);
    if (count !== null) return controller.enqueue(bytes.subarray(0, count));
    controller.close();
    this.#over("input");
  }

  /** Both directions have come to their end: nothing is left to close it for. */
  #over(direction: "input" | "output"): void {
    this.#ends.add(direction);
    if (this.#ends.size === 2) this.close();
  }

  close(): void {
    closeQuietly(this.#conn);
    this.#ended(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }
}

class UnixListener implements VsockListener {
  readonly port: number;
  readonly #listener: Deno.UnixListener;
  readonly #token: Uint8Array;
  readonly #adopt: (conn: Deno.UnixConn) => VsockConnection;
  readonly #ended: (self: UnixListener) => void;

  constructor(
    port: number,
    listener: Deno.UnixListener,
    token: Uint8Array,
    adopt: (conn: Deno.UnixConn) => VsockConnection,
    ended: (self: UnixListener) => void,
  ) {
    this.port = port;
    this.#listener = listener;
    this.#token = token;
    this.#adopt = adopt;
    this.#ended = ended;
  }

  async accept(): Promise<VsockConnection> {
    for (;;) {
      let conn: Deno.UnixConn;
      try {
        conn = await this.#listener.accept();
      } catch {
        throw new MachineError(`No more calls come to vsock port ${this.port}`, "CLOSED");
      }
      if (await hasToken(conn, this.#token)) return this.#adopt(conn);
      closeQuietly(conn); // a stranger has found the name in /proc/net/unix
    }
  }

  close(): void {
    try {
      this.#listener.close();
    } catch {
      // closed before
    }
    this.#ended(this);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<VsockConnection> {
    for (;;) {
      try {
        yield await this.accept();
      } catch (error) {
        if (error instanceof MachineError && error.code === "CLOSED") return;
        throw error;
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }
}

function checkPort(port: number): void {
  if (Number.isInteger(port) && port >= 0 && port < 0xffff_ffff) return;
  throw new MachineError(
    `Cannot use vsock port ${port}: 0 to 4294967294 are possible`,
    "VSOCK_PORT",
  );
}

function refused(port: number): MachineError {
  return new MachineError(
    `Cannot connect to vsock port ${port}: the guest refused, or did not answer`,
    "VSOCK_REFUSED",
    "start a listener in the guest first; while it boots, try again",
  );
}

function closeQuietly(conn: Deno.UnixConn): void {
  try {
    conn.close();
  } catch {
    // closed before, perhaps by the end of one of its streams
  }
}

async function writeAll(conn: Deno.UnixConn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await conn.write(bytes.subarray(done));
}

/** Reads up to the newline and not a byte more: what follows is the guest's. */
async function readOk(conn: Deno.UnixConn): Promise<boolean> {
  const byte = new Uint8Array(1);
  let line = "";
  while (line.length <= OK_LINE_BYTES) {
    if (await conn.read(byte) === null) return false;
    if (byte[0] === 0x0a) return line.startsWith("OK ");
    line += String.fromCharCode(byte[0] ?? 0);
  }
  return false;
}

async function hasToken(conn: Deno.UnixConn, token: Uint8Array): Promise<boolean> {
  const timer = setTimeout(() => closeQuietly(conn), TOKEN_MS);
  try {
    const got = new Uint8Array(token.length);
    for (let done = 0; done < got.length;) {
      const count = await conn.read(got.subarray(done));
      if (count === null) return false;
      done += count;
    }
    return got.every((byte, i) => byte === token[i]);
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}
