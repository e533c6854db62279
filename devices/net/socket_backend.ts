/**
 * Where a card's stream comes from: a Unix socket that another program listens at, or another thread of this process, or
 * that we listen at.
 */
import { EPOLLIN } from "../../src/abi/linux.ts";
import type { EventLoop, Watch } from "../../src/loop/event_loop.ts";
import type { OwnedFd } from "../../src/sys/fd.ts";
import { ECONNREFUSED } from "../../src/sys/sys_error.ts";
import { writeFd } from "../../src/sys/stream.ts";
import {
  acceptUnix,
  connectUnix,
  connectWithinProcess,
  listenUnix,
} from "../../src/sys/unix_socket.ts";
import type { StreamSource } from "./stream_backend.ts";

/** How often a program that is not there is looked for. */
const RETRY_MS = 500;

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

  /** `connect` returns an errno while nobody is there. */
  constructor(connect: () => OwnedFd | number, loop: EventLoop) {
    this.#connect = connect;
    this.#loop = loop;
  }

  seek(connected: (fd: OwnedFd) => void): void {
    this.#retry = undefined;
    const fd = this.#connect();
    if (typeof fd !== "number") return connected(fd);
    // Not there yet, or full: the link is down meanwhile.
    this.#retry = this.#loop.timer(RETRY_MS, { ready: () => this.seek(connected) });
  }

  close(): void {
    this.#retry?.[Symbol.dispose]();
  }
}

/** Listens at `path` and serves one connection at a time; others wait. Removes the path at the end. */
export class ListeningSource implements StreamSource {
  readonly #path: string;
  readonly #listener: OwnedFd;
  readonly #watch: Watch;
  #connected: ((fd: OwnedFd) => void) | undefined;

  /** Throws SysError when it cannot listen there. A path left behind by a dead program is taken over. */
  constructor(path: string, loop: EventLoop) {
    this.#path = path;
    removeAbandoned(path);
    this.#listener = listenUnix(path);
    this.#watch = loop.watch(this.#listener.number, 0, { ready: () => this.#accept() });
  }

  seek(connected: (fd: OwnedFd) => void): void {
    this.#connected = connected;
    this.#watch.update(EPOLLIN);
  }

  #accept(): void {
    const fd = acceptUnix(this.#listener.number);
    if (fd === undefined) return;
    this.#watch.update(0);
    this.#connected?.(fd);
  }

  close(): void {
    this.#watch[Symbol.dispose]();
    this.#listener.close();
    Deno.removeSync(this.#path);
  }
}

function isSocket(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSocket === true;
  } catch {
    return false; // nothing there
  }
}

/** Nobody answers at a socket whose program has died; one that is alive is left alone, and `bind` refuses. */
function removeAbandoned(path: string): void {
  const fd = isSocket(path) ? connectUnix(path) : undefined;
  if (fd === ECONNREFUSED) Deno.removeSync(path);
  else if (typeof fd === "object") fd.close();
}
