/** A connected Unix socket as the host's end of a vsock connection. Made by `uds_backend.ts`. */
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../src/abi/linux.ts";
import type { EventLoop, Watch, Watcher } from "../../src/loop/event_loop.ts";
import type { OwnedFd } from "../../src/sys/fd.ts";
import { readFd } from "../../src/sys/stream.ts";
import { EAGAIN, EINTR } from "../../src/sys/sys_error.ts";
import {
  endInput,
  endOutput,
  isHungUp,
  readSocket,
  sendBytes,
  sendSocket,
} from "../../src/sys/unix_socket.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import { BROKEN, type HostStream, type HostStreamEvents, NOT_NOW } from "./backend.ts";

const encoder = new TextEncoder();

/**
 * Level-triggered: as long as the device reads what it is told of, no epoll_ctl is needed. Input the device does not
 * come for is told once more and then left alone until it reads again.
 */
export class SocketStream implements HostStream, Watcher {
  readonly #fd: OwnedFd;
  readonly #watch: Watch;
  readonly #greets: boolean;
  #events: HostStreamEvents | undefined;
  #wanted = EPOLLIN;
  #toldReadable = false;
  #inputEnded = false;
  #peerClosed = false;

  /** Takes over `fd`. `greets`: a caller on the host, who waits for the OK line. */
  constructor(fd: OwnedFd, loop: EventLoop, greets: boolean) {
    this.#fd = fd;
    this.#greets = greets;
    this.#watch = loop.watch(fd.number, EPOLLIN, this);
  }

  attach(events: HostStreamEvents): void {
    this.#events = events;
  }

  get peerClosed(): boolean {
    return this.#peerClosed;
  }

  established(hostPort: number): void {
    // A socket nothing was written to takes a line; a caller who has gone is noticed by what follows.
    if (this.#greets) sendBytes(this.#fd.number, encoder.encode(`OK ${hostPort}\n`));
  }

  /** Watcher. */
  ready(events: number): void {
    if ((events & EPOLLOUT) !== 0) {
      this.#want(this.#wanted & ~EPOLLOUT);
      this.#events?.writable();
    }
    // Asked anew: an event may be meant for a socket whose place in the loop this one took over in this turn.
    if ((events & (EPOLLHUP | EPOLLERR)) !== 0 && isHungUp(this.#fd.number)) return this.#hangUp();
    if ((events & EPOLLIN) === 0) return;
    if (this.#toldReadable) return this.#want(this.#wanted & ~EPOLLIN);
    this.#toldReadable = true;
    this.#events?.readable();
  }

  /** From now on reading never has to wait, so there is nothing to watch. */
  #hangUp(): void {
    this.#watch.update(0);
    if (this.#peerClosed) return;
    this.#peerClosed = true;
    this.#events?.closed();
  }

  /** EPOLLHUP keeps the socket watched when nothing else is wanted. */
  #want(events: number): void {
    this.#wanted = events;
    if (!this.#peerClosed) this.#watch.update(events === 0 ? EPOLLHUP : events);
  }

  read(into: IovecList): number {
    return this.#got(readSocket(this.#fd.number, into.words, into.count), into.bytes);
  }

  readBytes(into: Uint8Array<ArrayBuffer>): number {
    return this.#got(readFd(this.#fd.number, into), into.length);
  }

  #got(result: number, wanted: number): number {
    this.#toldReadable = false;
    if (result === 0) this.#inputEnded = true;
    if (result < wanted && !this.#inputEnded) this.#want(this.#wanted | EPOLLIN);
    else if (this.#inputEnded) this.#want(this.#wanted & ~EPOLLIN); // the end would be told for ever
    return result >= 0 ? result : verdict(result);
  }

  write(from: IovecList): number {
    return this.#wrote(sendSocket(this.#fd.number, from), from.bytes);
  }

  writeBytes(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): number {
    return this.#wrote(sendBytes(this.#fd.number, bytes.subarray(start, end)), end - start);
  }

  #wrote(result: number, wanted: number): number {
    const answer = result >= 0 ? result : verdict(result);
    if (answer === NOT_NOW || answer >= 0 && answer < wanted) this.#want(this.#wanted | EPOLLOUT);
    return answer;
  }

  endOutput(): void {
    endOutput(this.#fd.number);
  }

  endInput(): void {
    this.#inputEnded = true; // shut down it would be told as readable for ever
    this.#want(this.#wanted & ~EPOLLIN);
    endInput(this.#fd.number);
  }

  close(): void {
    this.#events = undefined;
    this.#watch[Symbol.dispose]();
    this.#fd.close();
  }
}

function verdict(result: number): number {
  return result === -EAGAIN || result === -EINTR ? NOT_NOW : BROKEN;
}
