/**
 * Frames over a Unix stream socket, each behind its length in four bytes, highest first: what QEMU's `-netdev stream`
 * and passt speak. No offloads: whoever is at the other end gets plain frames.
 */
import { EPOLLIN, EPOLLOUT } from "../../src/abi/linux.ts";
import type { EventLoop, Watch, Watcher } from "../../src/loop/event_loop.ts";
import type { OwnedFd } from "../../src/sys/fd.ts";
import { copyBytes, copyFrom } from "../../src/sys/memory_copy.ts";
import { PacketVectors } from "../../src/sys/packet_vectors.ts";
import { readFd, writeFd } from "../../src/sys/stream.ts";
import { EAGAIN, EINTR } from "../../src/sys/sys_error.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import { ETH_HLEN, virtio_net_hdr_v1 } from "./abi.ts";
import { MAX_FRAME_BYTES, type NetBackend, type NetEvents, PREFIX_BYTES } from "./backend.ts";

const HEADER_BYTES = virtio_net_hdr_v1.size;
const LENGTH_BYTES = 4;
/** The first bytes of a frame, which go into `prefix`. */
const HEAD_BYTES = PREFIX_BYTES - HEADER_BYTES;
/** Read at once: many small frames, or a few of the longest. */
const BUFFER_BYTES = 256 * 1024;

const NONSENSE =
  `The network's other end sent what is no frame (${ETH_HLEN} to ${MAX_FRAME_BYTES} bytes behind a length): it was cut off`;

/** Where connections come from. All of it runs on the I/O thread. */
export interface StreamSource {
  /** There is one connection, and no other when it ends: what has happened then, in words. */
  readonly endsWith?: string;
  /** Looks for a connection from now on, and calls `connected` with each new one; one at a time. */
  seek(connected: (fd: OwnedFd) => void): void;
  close(): void;
}

export class StreamBackend implements NetBackend, Watcher {
  readonly sendOffloads = 0;
  readonly receiveOffloads = 0;
  readonly queuePairs = 1;
  readonly longestFrame = MAX_FRAME_BYTES;
  readonly sendHeader: Uint8Array<ArrayBuffer> = new Uint8Array(HEADER_BYTES);
  readonly prefix: Uint8Array<ArrayBuffer> = new Uint8Array(PREFIX_BYTES);
  readonly #loop: EventLoop;
  readonly #source: StreamSource;
  readonly #length = new Uint8Array(LENGTH_BYTES);
  readonly #vectors = new PacketVectors(this.#length);
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  /** What of `#buffer` was read and is not used up. */
  #start = 0;
  #end = 0;
  /** The rest of a frame of which the socket took only a part: sent before any other. */
  readonly #rest = new Uint8Array(LENGTH_BYTES + MAX_FRAME_BYTES);
  #restLength = 0;
  #fd: OwnedFd | undefined;
  #watch: Watch | undefined;
  #listening = false;
  #blocked = false;
  readonly #failed: (message: string) => void;
  #events: NetEvents | undefined;

  /** `failed` is told, in words, of an end for good and of nonsense; the end of a connection that may come back is none. */
  constructor(source: StreamSource, loop: EventLoop, failed: (message: string) => void) {
    this.#source = source;
    this.#loop = loop;
    this.#failed = failed;
    source.seek((fd) => this.#connected(fd));
  }

  /** Whether somebody is connected. */
  get carrier(): boolean {
    return this.#fd !== undefined;
  }

  attach(events: NetEvents): void {
    this.#events = events;
  }

  #connected(fd: OwnedFd): void {
    this.#fd = fd;
    this.#start = this.#end = this.#restLength = 0;
    this.#watch = this.#loop.watch(fd.number, 0, this);
    this.#updateWatch();
    this.#events?.carrierChanged(true);
  }

  #updateWatch(): void {
    const waiting = this.#blocked || this.#restLength > 0;
    this.#watch?.update((this.#listening ? EPOLLIN : 0) | (waiting ? EPOLLOUT : 0));
  }

  /** The other end is gone, or talks nonsense. Packets are lost until there is another. */
  #disconnect(): void {
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    this.#fd?.close();
    this.#fd = undefined;
    if (this.#source.endsWith !== undefined) this.#failed(this.#source.endsWith);
    this.#loop.defer(() => {
      this.#events?.carrierChanged(false);
      this.#unblock();
      this.#source.seek((fd) => this.#connected(fd));
    });
  }

  #unblock(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#events?.writable(0);
  }

  send(_pair: number, frame: IovecList): boolean {
    const fd = this.#fd;
    if (fd === undefined) return true;
    if (this.#restLength > 0) return this.#refuse();
    const length = frame.bytes;
    for (let i = 0; i < LENGTH_BYTES; i++) this.#length[i] = length >>> (8 * (3 - i));
    this.#vectors.load(frame.words, frame.count);
    const sent = this.#vectors.writeTo(fd.number);
    if (sent === LENGTH_BYTES + length) return true;
    if (sent === -EAGAIN || sent === -EINTR) return this.#refuse();
    if (sent < 0) this.#disconnect();
    else this.#keepRest(frame, sent);
    return true;
  }

  #refuse(): boolean {
    this.#blocked = true;
    this.#updateWatch();
    return false;
  }

  /** A frame cannot be taken back once its first byte is out: the rest waits in our memory, one frame at most. */
  #keepRest(frame: IovecList, sent: number): void {
    let total = LENGTH_BYTES;
    this.#rest.set(this.#length);
    for (let i = 0; i < frame.count; i++) {
      const at = i * 4;
      const word = (offset: number) => frame.words[at + offset] as number;
      const address = word(0) + word(1) * 0x1_0000_0000;
      copyFrom(address, this.#rest.subarray(total, total + word(2)));
      total += word(2);
    }
    this.#rest.copyWithin(0, sent, total);
    this.#restLength = total - sent;
    this.#updateWatch();
  }

  receive(_pair: number, into: IovecList): number {
    let length = this.#nextLength();
    if (length < 0) {
      this.#readMore();
      length = this.#nextLength();
    }
    if (length < 0) return 0;
    const from = this.#start + LENGTH_BYTES;
    this.#start = from + length;
    this.prefix.fill(0, 0, HEADER_BYTES);
    for (let i = 0; i < HEAD_BYTES; i++) {
      this.prefix[HEADER_BYTES + i] = this.#buffer[from + i] ?? 0;
    }
    if (length - HEAD_BYTES <= into.bytes) {
      copyBytes(this.#buffer, from + HEAD_BYTES, length - HEAD_BYTES, into.words, into.count);
    }
    return HEADER_BYTES + length;
  }

  /** The length of the next frame; -1 when it is not all there. */
  #nextLength(): number {
    const there = this.#end - this.#start;
    if (there < LENGTH_BYTES || this.#fd === undefined) return -1;
    const at = (i: number) => this.#buffer[this.#start + i] as number;
    const length = ((at(0) << 24) | (at(1) << 16) | (at(2) << 8) | at(3)) >>> 0;
    // Nobody's frame is longer: what follows would not be frames either.
    if (length > MAX_FRAME_BYTES || length < ETH_HLEN) {
      this.#failed(NONSENSE);
      this.#disconnect();
      return -1;
    }
    return there >= LENGTH_BYTES + length ? length : -1;
  }

  #readMore(): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    this.#buffer.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    const count = readFd(fd.number, this.#buffer.subarray(this.#end));
    if (count > 0) this.#end += count;
    else if (count !== -EAGAIN && count !== -EINTR) this.#disconnect();
  }

  listen(_pair: number, wanted: boolean): void {
    this.#listening = wanted;
    this.#updateWatch();
  }

  ready(events: number): void {
    if ((events & ~EPOLLIN) !== 0) this.#writeRest();
    if (this.#listening && (events & ~EPOLLOUT) !== 0) this.#events?.readable(0);
  }

  #writeRest(): void {
    const fd = this.#fd;
    if (fd !== undefined && this.#restLength > 0) {
      const sent = writeFd(fd.number, this.#rest, this.#restLength);
      if (sent === -EAGAIN || sent === -EINTR) return;
      if (sent < 0) return this.#disconnect();
      this.#rest.copyWithin(0, sent, this.#restLength);
      this.#restLength -= sent;
    }
    if (this.#restLength > 0) return;
    this.#unblock();
    this.#updateWatch();
  }

  setOffloads(): void {}

  setQueuePairs(): void {}

  close(): void {
    this.#watch?.[Symbol.dispose]();
    this.#fd?.close();
    this.#source.close();
  }
}
