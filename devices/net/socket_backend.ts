/**
 * Where a card's stream comes from: a Unix socket that another program listens at, or another thread of this process, or
 * that we listen at.
 */
import { EPOLLIN } from "../../src/abi/linux.ts";
import type { EventLoop, Watch } from "../../src/loop/event_loop.ts";
import type { OwnedFd } from "../../src/sys/fd.ts";
import { EAGAIN, errnoName, errnoWords } from "../../src/sys/sys_error.ts";
import { writeFd } from "../../src/sys/stream.ts";
import { UnixListener } from "../../src/sys/unix_listener.ts";
import { connectUnix, connectWithinProcess } from "../../src/sys/unix_socket.ts";
import { PausableWatch } from "../../src/virtio/pausable_watch.ts";
import type { StreamSource } from "./stream_backend.ts";

/** How often a program that is not there is looked for; and one that hangs up at once is called again. */
const RETRY_MS = 500;
/** When a caller cannot be let in (no descriptor is left): look again after this long. */
const PAUSE_MS = 100;

/** Another program, which listens at `path`. */
export function programSource(path: string, loop: EventLoop): ConnectingSource {
  return new ConnectingSource(() => connectUnix(path), loop);
}

/** Another thread of this process, which listens at the abstract `name`; it expects the `token` first. */
export function threadSource(name: string, loop: EventLoop, token = ""): ConnectingSource {
  const bytes = new TextEncoder().encode(token);
  return new ConnectingSource(() => {
    const fd = connectWithinProcess(name);
    if (typeof fd !== "number") writeFd(fd.number, bytes, bytes.length); // a new socket has room for it
    return fd;
  }, loop);
}

/** Connects again and again until somebody listens there, and once more when the other end goes. */
export class ConnectingSource implements StreamSource {
  readonly #connect: () => OwnedFd | number;
  readonly #loop: EventLoop;
  #retry: Watch | undefined;
  /** When it last got through. */
  #connectedAt = -Infinity;

  /** `connect` returns an errno while nobody is there. */
  constructor(connect: () => OwnedFd | number, loop: EventLoop) {
    this.#connect = connect;
    this.#loop = loop;
  }

  seek(connected: (fd: OwnedFd) => void): void {
    this.#retry = undefined;
    // A link that goes up and down thousands of times a second would be an interrupt for the guest each time.
    const early = RETRY_MS - (this.#loop.now - this.#connectedAt);
    if (early > 0) return this.#seekLater(early, connected);
    const fd = this.#connect();
    // Not there yet, or full: the link is down meanwhile.
    if (typeof fd === "number") return this.#seekLater(RETRY_MS, connected);
    this.#connectedAt = this.#loop.now;
    connected(fd);
  }

  #seekLater(delayMs: number, connected: (fd: OwnedFd) => void): void {
    this.#retry = this.#loop.timer(delayMs, { ready: () => this.seek(connected) });
  }

  close(): void {
    this.#retry?.[Symbol.dispose]();
  }
}

/** Listens at `path` and serves one connection at a time; others wait. Removes the path at the end. */
export class ListeningSource implements StreamSource {
  readonly #path: string;
  readonly #failed: (message: string) => void;
  readonly #listener: UnixListener;
  readonly #watch: PausableWatch;
  #connected: ((fd: OwnedFd) => void) | undefined;

  /** `failed`: told what the host refuses, in words. Throws SysError when it cannot listen there. */
  constructor(path: string, loop: EventLoop, failed: (message: string) => void) {
    this.#path = path;
    this.#failed = failed;
    this.#listener = new UnixListener(path);
    this.#watch = new PausableWatch(this.#listener.fd, loop, { ready: () => this.#accept() });
  }

  seek(connected: (fd: OwnedFd) => void): void {
    this.#connected = connected;
    this.#watch.update(EPOLLIN);
  }

  #accept(): void {
    const fd = this.#listener.accept();
    if (typeof fd === "number") return this.#notAccepted(fd);
    this.#watch.update(0);
    this.#connected?.(fd);
  }

  /** Who waits goes on waiting, and keeps the socket ready. */
  #notAccepted(errno: number): void {
    if (errno === EAGAIN) return;
    const reason = `${errnoWords(errno)} (${errnoName(errno)})`;
    this.#failed(`Cannot let a connection in at "${this.#path}": ${reason}`);
    this.#watch.pause(PAUSE_MS);
  }

  close(): void {
    this.#watch[Symbol.dispose]();
    this.#listener.close();
  }
}
