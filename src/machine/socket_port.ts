/** One card's connection to a switch: a non-blocking stream socket, read and written in pieces of many frames. */
import { EPOLLIN, EPOLLOUT } from "../abi/linux.ts";
import type { EventLoop, Watch, Watcher } from "../loop/event_loop.ts";
import type { OwnedFd } from "../sys/fd.ts";
import { readFd, writeFd } from "../sys/stream.ts";
import { EAGAIN, EINTR } from "../sys/sys_error.ts";
import {
  type EthernetSwitch,
  frameLength,
  LENGTH_BYTES,
  type SwitchPort,
} from "./ethernet_switch.ts";

/** Read at once, and kept for a card that does not read: beyond what its socket holds, frames for it are lost. */
const BUFFER_BYTES = 256 * 1024;

export class SocketPort implements SwitchPort, Watcher {
  readonly #fd: OwnedFd;
  readonly #loop: EventLoop;
  readonly #network: EthernetSwitch;
  readonly #closed: (port: SocketPort) => void;
  readonly #number: number;
  readonly #watch: Watch;
  readonly #input = new Uint8Array(BUFFER_BYTES);
  #inputEnd = 0;
  readonly #output = new Uint8Array(BUFFER_BYTES);
  #outputStart = 0;
  #outputEnd = 0;

  /** Takes `fd` over. `closed` is called when the other end is gone, or talks nonsense. */
  constructor(
    fd: OwnedFd,
    loop: EventLoop,
    network: EthernetSwitch,
    closed: (port: SocketPort) => void,
  ) {
    this.#fd = fd;
    this.#loop = loop;
    this.#network = network;
    this.#closed = closed;
    this.#number = network.add(this);
    this.#watch = loop.watch(fd.number, EPOLLIN, this);
  }

  ready(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.#writeRest();
    if ((events & ~EPOLLOUT) !== 0) this.#receive();
  }

  /** One piece for each event: others are waiting. */
  #receive(): void {
    const count = readFd(this.#fd.number, this.#input.subarray(this.#inputEnd));
    if (count === -EAGAIN || count === -EINTR) return;
    const end = this.#inputEnd + count;
    const rest = count <= 0 || this.#number < 0
      ? -1
      : this.#network.forward(this.#number, this.#input, 0, end, this.#loop.now);
    if (rest < 0) {
      this.close();
      return this.#closed(this);
    }
    this.#input.copyWithin(0, rest, end);
    this.#inputEnd = end - rest;
  }

  deliver(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): void {
    if (this.#outputEnd > 0) return this.#keep(bytes, start, this.#fitting(bytes, start, end));
    const sent = writeFd(this.#fd.number, bytes.subarray(start, end), end - start);
    if (sent === end - start) return;
    if (sent < 0 && sent !== -EAGAIN && sent !== -EINTR) return; // it is gone: reading will say so
    // What is left of a frame must follow, and the frames behind it fit, too: they come from a buffer of this size.
    this.#keep(bytes, start + Math.max(0, sent), end);
    this.#watch.update(EPOLLIN | EPOLLOUT);
  }

  /** The end of the frames for which there is room. */
  #fitting(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): number {
    const limit = start + BUFFER_BYTES - (this.#outputEnd - this.#outputStart);
    let at = start;
    while (at < end) {
      const next = at + LENGTH_BYTES + frameLength(bytes, at, end);
      if (next > limit) break;
      at = next;
    }
    return at;
  }

  #keep(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): void {
    if (this.#outputEnd + end - start > BUFFER_BYTES) {
      this.#output.copyWithin(0, this.#outputStart, this.#outputEnd);
      this.#outputEnd -= this.#outputStart;
      this.#outputStart = 0;
    }
    this.#output.set(bytes.subarray(start, end), this.#outputEnd);
    this.#outputEnd += end - start;
  }

  #writeRest(): void {
    const length = this.#outputEnd - this.#outputStart;
    const from = this.#output.subarray(this.#outputStart, this.#outputEnd);
    const sent = length === 0 ? 0 : writeFd(this.#fd.number, from, length);
    if (sent > 0) this.#outputStart += sent;
    if (sent < 0 && (sent === -EAGAIN || sent === -EINTR)) return;
    if (sent >= 0 && this.#outputStart < this.#outputEnd) return;
    this.#outputStart = this.#outputEnd = 0;
    this.#watch.update(EPOLLIN);
  }

  close(): void {
    this.#network.remove(this.#number);
    this.#watch[Symbol.dispose]();
    this.#fd.close();
  }
}
