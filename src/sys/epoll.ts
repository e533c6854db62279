/** epoll(7), thinly: descriptors in, (token, events) pairs out. Used by `src/loop/epoll_loop.ts`. */
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  epoll_event,
} from "../abi/linux.ts";
import { type FdNumber, OwnedFd } from "./fd.ts";
import { errno, libc } from "./libc.ts";
import { check, EBADF, EINTR, ENOENT, EPERM, SysError } from "./sys_error.ts";

const MAX_EVENTS = 64;

/** A new epoll instance, for an `Epoll` of this or another isolate. */
export function createEpollFd(): OwnedFd {
  return new OwnedFd(check(libc().epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
}

/** An epoll instance. Events of the last `wait` are read by index: no object per event. */
export class Epoll implements Disposable {
  readonly #own: OwnedFd | undefined;
  readonly #fd: FdNumber;
  readonly #buffer = new Uint8Array(MAX_EVENTS * epoll_event.size);
  readonly #view = new DataView(this.#buffer.buffer);
  readonly #one = new Uint8Array(epoll_event.size);
  readonly #oneView = new DataView(this.#one.buffer);
  readonly #wait = libc().epoll_wait;

  /** On `lent`, which stays its owner's; without it on one of its own. */
  constructor(lent?: FdNumber) {
    const own = lent === undefined ? createEpollFd() : undefined;
    this.#own = own;
    this.#fd = own?.number ?? lent as FdNumber; // one of the two is there
  }

  /** Starts to watch `fd`. False if the kernel cannot poll such a file (a regular file: always ready). */
  add(fd: FdNumber, events: number, token: number): boolean {
    if (this.#control(EPOLL_CTL_ADD, fd, events, token) !== -1) return true;
    const number = errno();
    if (number === EPERM) return false;
    throw new SysError(`epoll_ctl add of fd ${fd}`, number);
  }

  modify(fd: FdNumber, events: number, token: number): void {
    check(this.#control(EPOLL_CTL_MOD, fd, events, token), `epoll_ctl change of fd ${fd}`);
  }

  /** Nothing happens when `fd` is closed already: its registration went with it. */
  remove(fd: FdNumber): void {
    if (this.#control(EPOLL_CTL_DEL, fd, 0, 0) !== -1) return;
    const number = errno();
    if (number !== EBADF && number !== ENOENT) {
      throw new SysError(`epoll_ctl removal of fd ${fd}`, number);
    }
  }

  #control(op: number, fd: number, events: number, token: number): number {
    this.#oneView.setUint32(epoll_event.at.events, events, true);
    this.#oneView.setUint32(epoll_event.at.data, token, true);
    return libc().epoll_ctl(this.#fd, op, fd, this.#one);
  }

  /** Waits up to `timeoutMs` (-1: for ever) and returns the number of events, 0 when interrupted. */
  wait(timeoutMs: number): number {
    const wait = this.#wait;
    const count = wait(this.#fd, this.#buffer, MAX_EVENTS, timeoutMs);
    if (count >= 0) return count;
    const number = errno();
    if (number === EINTR) return 0; // also how io_uring's task work interrupts a sleeper
    throw new SysError("epoll_wait", number);
  }

  /** The token given to `add` for event `index` of the last `wait`. */
  token(index: number): number {
    return this.#view.getUint32(index * epoll_event.size + epoll_event.at.data, true);
  }

  /** The EPOLL* bits of event `index` of the last `wait`. */
  events(index: number): number {
    return this.#view.getUint32(index * epoll_event.size + epoll_event.at.events, true);
  }

  [Symbol.dispose](): void {
    this.#own?.close();
  }
}
