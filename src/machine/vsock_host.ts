/**
 * The guest's sockets for the machine's owner: streams without a socket file. They are Unix sockets in the
 * abstract namespace, between this isolate's own event loop (Deno.connect, Deno.listen) and the I/O thread's, so the
 * kernel does the waiting and the back-pressure on both sides, and nothing is shared but a name.
 *
 * Such a name can be called by anybody on the host. The I/O thread lets in none but this process (SO_PEERCRED); to
 * listeners here it proves itself by a token that only the two of them know. Used by `machine.ts`.
 */
import type { OwnerSocket } from "../virtio/device_maker.ts";
import type { MachineStatus } from "./machine_options.ts";
import { MachineError, stateError } from "./machine_error.ts";
import { ByteSocket, type ChunkSocket, MessageSocket } from "./vsock_socket.ts";

const TOKEN_BYTES = 16;
/** How long a caller of a listener may take to send the token. It is there before the call, unless it is a stranger. */
const TOKEN_MS = 2000;
/** `OK 4294967295\n` */
const OK_LINE_BYTES = 14;

/**
 * One connection between the machine's owner and a program in the guest. With `seqpacket` each chunk, either way, is one
 * message, of 262144 bytes at most; where records end (MSG_EOR) is not told.
 */
export interface VsockConnection extends AsyncDisposable {
  /**
   * What the guest sends; it waits while nobody reads. Ends when the guest ends its output; errors when the connection is
   * reset, inside a message with MachineError VSOCK_RESET.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /**
   * To the guest. Writes wait while the guest does not read. Closing it ends the output only. Messages: an empty one is
   * not sent, as with Linux; one that is longer than the guest's buffer (262144 bytes, unless its program has set another
   * size) resets the connection; one that is too long for any guest rejects with MachineError VSOCK_MESSAGE_LENGTH.
   */
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

/** Bytes (SOCK_STREAM) or messages (SOCK_SEQPACKET, which Linux guests have since 5.14). */
export type VsockSocketType = "stream" | "seqpacket";

/** Which port. */
export interface VsockPort {
  /** 0 to 4294967294. */
  readonly vsock: number;
  /** `stream` when left out. A port of the host may have a listener of each. */
  readonly type?: VsockSocketType;
}

/** Which port, and for how long to try. */
export interface VsockAddress extends VsockPort {
  /** Gives up when it is aborted. */
  readonly signal?: AbortSignal;
}

/** How each type is asked for, and what it is listened for on (devices/vsock/uds_backend.ts). */
const TYPES = {
  stream: {
    command: "CONNECT",
    suffix: "",
    socket: (conn: Deno.UnixConn): ChunkSocket => new ByteSocket(conn),
  },
  seqpacket: {
    command: "SEQPACKET",
    suffix: "_seqpacket",
    socket: (conn: Deno.UnixConn): ChunkSocket => new MessageSocket(conn),
  },
} as const;

/** The owner's end of a machine's vsock device. */
export class VsockHost {
  readonly #socket: OwnerSocket;
  readonly #open = new Set<{ close(): void }>();

  constructor(socket: OwnerSocket) {
    this.#socket = socket;
  }

  /**
   * Calls the guest's port. Rejects with MachineError VSOCK_REFUSED when nobody listens there for that type (or the guest
   * does not answer within two seconds, or its kernel has no SOCK_SEQPACKET), VSOCK_PORT, VSOCK_TYPE, or the signal's
   * reason.
   */
  async connect(
    { vsock: port, type = "stream", signal }: VsockAddress,
  ): Promise<VsockConnection> {
    checkPort(port, type);
    signal?.throwIfAborted();
    const conn = await Deno.connect({ transport: "unix", path: this.#socket.path });
    const giveUp = (): void => closeQuietly(conn);
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      await conn.write(new TextEncoder().encode(`${TYPES[type].command} ${port}\n`));
      if (!await readOk(conn)) throw refused(port);
    } catch (error) {
      closeQuietly(conn);
      signal?.throwIfAborted();
      throw error instanceof MachineError ? error : refused(port);
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
    return this.#adopt(conn, type);
  }

  #adopt(conn: Deno.UnixConn, type: VsockSocketType): VsockConnection {
    const socket = TYPES[type].socket(conn);
    return this.#keep(new UnixConnection(conn, socket, (ended) => this.#open.delete(ended)));
  }

  /** Throws MachineError VSOCK_IN_USE when the port has a listener of that type, VSOCK_PORT, VSOCK_TYPE. */
  listen({ vsock: port, type = "stream" }: VsockPort): VsockListener {
    checkPort(port, type);
    const { path, token } = this.#socket;
    try {
      const listener = Deno.listen({
        transport: "unix",
        path: `${path}${TYPES[type].suffix}_${port}`,
      });
      const adopt = (conn: Deno.UnixConn): VsockConnection => this.#adopt(conn, type);
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
  readonly #socket: ChunkSocket;
  readonly #ended: (self: UnixConnection) => void;
  readonly #ends = new Set<"input" | "output">();

  constructor(conn: Deno.UnixConn, socket: ChunkSocket, ended: (self: UnixConnection) => void) {
    this.#conn = conn;
    this.#socket = socket;
    this.#ended = ended;
    // Not the streams that Deno gives: the end of either would close both directions.
    this.readable = new ReadableStream({
      pull: (controller) => this.#pull(controller),
      cancel: () => this.close(),
    }, { highWaterMark: 0 });
    this.writable = new WritableStream({
      write: (chunk) => socket.write(chunk),
      close: async () => {
        await conn.closeWrite();
        this.#over("output");
      },
      abort: () => this.close(),
    });
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>): Promise<void> {
    const chunk = await this.#socket.read();
    if (chunk !== null) return controller.enqueue(chunk);
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

function checkPort(port: number, type: VsockSocketType): void {
  if (!Object.hasOwn(TYPES, type)) {
    throw new MachineError(
      `Cannot use a vsock socket of type "${type}": "stream" and "seqpacket" are possible`,
      "VSOCK_TYPE",
    );
  }
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
