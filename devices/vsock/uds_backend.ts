/**
 * The host's side of vsock in Firecracker's dialect: a caller connects to a Unix socket, says `CONNECT <port>` and
 * reads `OK <hostport>`; the guest's calls to host port P go to whoever listens on `<path>_<P>`. Runs on the I/O
 * thread; used by `make.ts`, for the socket file of `uds=` and for the machine's owner (an abstract name).
 *
 * The dialect has SOCK_STREAM only: nobody listens there for the guest's SOCK_SEQPACKET calls, which get RST. Where
 * `seqpacket` is set, a caller may also say `SEQPACKET <port>`, and who listens for messages does so on
 * `<path>_seqpacket_<P>`; both exchange frames then (`frame.ts`).
 */
import { EPOLLIN } from "../../src/abi/linux.ts";
import type { EventLoop, Watch, Watcher } from "../../src/loop/event_loop.ts";
import type { FdNumber, OwnedFd } from "../../src/sys/fd.ts";
import { readFd } from "../../src/sys/stream.ts";
import {
  EAGAIN,
  ECONNREFUSED,
  EINTR,
  ENOENT,
  errnoName,
  errnoWords,
} from "../../src/sys/sys_error.ts";
import { UnixListener } from "../../src/sys/unix_listener.ts";
import {
  connectUnix,
  ownProcess,
  peekSocket,
  peerProcess,
  sendBytes,
} from "../../src/sys/unix_socket.ts";
import { Deadlines } from "../../src/virtio/deadlines.ts";
import { PausableWatch } from "../../src/virtio/pausable_watch.ts";
import { VIRTIO_VSOCK_TYPE_STREAM } from "./abi.ts";
import type { HostStream, VsockBackend, VsockHost, VsockType } from "./backend.ts";
import { type Call, CONNECT_LINE_BYTES, parseConnect } from "./connect_line.ts";
import { SocketStream } from "./stream_backend.ts";

/** How long a caller may take to say CONNECT. */
const CONNECT_MS = 2000;
/** Callers that have not said CONNECT yet: more are sent away, or they would use up our descriptors. */
const MAX_CALLERS = 256;
/** When a caller cannot be let in (no descriptor is left): look again after this long. */
const PAUSE_MS = 100;
/** Nobody listens there, or not fast enough: the guest's affair. */
const NOBODY = [ENOENT, ECONNREFUSED, EAGAIN];
/** Callers let in before others on this thread have their turn. */
const ACCEPTS_PER_TURN = 16;

/** Who may come in, and what they hear from us first. */
export interface UdsOptions {
  /** Name of the socket; `<path>_<P>` is that of host port P. */
  readonly path: string;
  /** Only this process may call: abstract names have no permissions. */
  readonly ownProcessOnly?: boolean;
  /** Whether it has SOCK_SEQPACKET. */
  readonly seqpacket?: boolean;
  /** Written first to who listens: it proves that it is us who calls. */
  readonly token?: Uint8Array<ArrayBuffer>;
  /** Told what the host refuses, in words. */
  readonly failed?: (message: string) => void;
}

export class UdsBackend implements VsockBackend, Watcher {
  readonly #options: UdsOptions;
  readonly #loop: EventLoop;
  readonly #listener: UnixListener;
  readonly #watch: PausableWatch;
  readonly #callers = new Deadlines<Caller>(CONNECT_MS, (caller) => caller.close());
  #host: VsockHost | undefined;

  /** Listens from now on, and lets callers in once there is a driver. Throws SysError. */
  constructor(options: UdsOptions, loop: EventLoop) {
    this.#options = options;
    this.#loop = loop;
    this.#listener = new UnixListener(options.path);
    this.#watch = new PausableWatch(this.#listener.fd, loop, this);
  }

  attach(host: VsockHost): void {
    this.#host = host;
  }

  guestPresent(present: boolean): void {
    this.#watch.update(present ? EPOLLIN : 0);
    if (!present) this.#dropCallers();
  }

  connect(port: number, type: VsockType): HostStream | undefined {
    const { path, token, seqpacket } = this.#options;
    const isStream = type === VIRTIO_VSOCK_TYPE_STREAM;
    if (!isStream && seqpacket !== true) return undefined;
    const fd = connectUnix(isStream ? `${path}_${port}` : `${path}_seqpacket_${port}`);
    if (typeof fd === "number") {
      if (!NOBODY.includes(fd)) this.#failed("connect the guest's calls to", fd);
      return undefined;
    }
    if (token !== undefined) sendBytes(fd.number, token); // fits: nothing was written to it before
    return new SocketStream(fd, this.#loop, false);
  }

  /** Watcher: callers wait. */
  ready(): void {
    for (let i = 0; i < ACCEPTS_PER_TURN; i++) {
      const fd = this.#listener.accept();
      if (typeof fd === "number") return this.#notAccepted(fd);
      if (this.#callers.size >= MAX_CALLERS || !this.#mayCall(fd.number)) fd.close();
      else this.#callers.add(new Caller(fd, this.#loop, this.#parts), this.#loop);
    }
  }

  /** Who waits goes on waiting, and keeps the socket ready. */
  #notAccepted(errno: number): void {
    if (errno === EAGAIN) return;
    this.#failed("let callers in at", errno);
    this.#watch.pause(PAUSE_MS);
  }

  /** Ports are left out: a guest could make up thousands of messages. */
  #failed(what: string, errno: number): void {
    const path = this.#options.path.replace("\0", "@");
    this.#options.failed?.(
      `Cannot ${what} "${path}": ${errnoWords(errno)} (${errnoName(errno)})`,
    );
  }

  #mayCall(fd: FdNumber): boolean {
    return this.#options.ownProcessOnly !== true || peerProcess(fd) === ownProcess();
  }

  readonly #parts: CallerEvents = {
    gone: (caller) => this.#callers.remove(caller),
    asked: (caller, fd, { port, type }) => {
      this.#callers.remove(caller);
      const stream = new SocketStream(fd, this.#loop, true);
      const possible = type === VIRTIO_VSOCK_TYPE_STREAM || this.#options.seqpacket === true;
      if (!possible || this.#host?.open(stream, port, type) !== true) stream.close();
    },
  };

  #dropCallers(): void {
    this.#callers.forEach((caller) => caller.close());
    this.#callers.clear();
  }

  close(): void {
    this.#dropCallers();
    this.#watch[Symbol.dispose]();
    this.#listener.close();
  }
}

interface CallerEvents {
  /** It has hung up, or said something else. */
  gone(caller: Caller): void;
  /** It has said CONNECT; `fd` is whose `asked` this is. */
  asked(caller: Caller, fd: OwnedFd, call: Call): void;
}

/** Somebody who has connected and not said CONNECT yet. */
class Caller implements Watcher {
  readonly #fd: OwnedFd;
  readonly #watch: Watch;
  readonly #events: CallerEvents;
  readonly #line = new Uint8Array(CONNECT_LINE_BYTES);
  #length = 0;

  constructor(fd: OwnedFd, loop: EventLoop, events: CallerEvents) {
    this.#fd = fd;
    this.#events = events;
    this.#watch = loop.watch(fd.number, EPOLLIN, this);
  }

  /** Takes what there is of the line, and nothing behind it: that is for the guest. */
  ready(): void {
    const room = this.#line.subarray(this.#length);
    const waiting = peekSocket(this.#fd.number, room);
    if (waiting === -EAGAIN || waiting === -EINTR) return;
    if (waiting <= 0) return this.#giveUp();
    const newline = room.subarray(0, waiting).indexOf(0x0a);
    const part = newline === -1 ? waiting : newline + 1;
    if (readFd(this.#fd.number, room.subarray(0, part)) !== part) return this.#giveUp();
    this.#length += part;
    if (newline === -1) {
      if (this.#length === CONNECT_LINE_BYTES) this.#giveUp();
      return;
    }
    const call = parseConnect(this.#line.subarray(0, this.#length - 1));
    if (call === undefined) return this.#giveUp();
    this.#watch[Symbol.dispose]();
    this.#events.asked(this, this.#fd, call);
  }

  /** There is no line for errors in the dialect: a caller finds its socket closed. */
  #giveUp(): void {
    this.#events.gone(this);
    this.close();
  }

  close(): void {
    this.#watch[Symbol.dispose]();
    this.#fd.close();
  }
}
