/** Byte streams over descriptors on the event loop: bounded buffers, no blocking. Used by channels and the terminal. */
import { EPOLLIN, EPOLLOUT } from "../abi/linux.ts";
import type { EventLoop, Watch } from "../loop/event_loop.ts";
import type { OwnedFd } from "../sys/fd.ts";
import { readFd, reopenForWriting, writeFd } from "../sys/stream.ts";
import { EAGAIN, EINTR } from "../sys/sys_error.ts";

const READ_BYTES = 4096;
const WRITE_BUFFER_BYTES = 64 * 1024;
/** A pipe that polls writable takes this much without blocking (PIPE_BUF, limits.h). */
const WRITE_BYTES = 4096;

/** Buffers output and writes it whenever the descriptor takes it. */
export class FdWriter {
  readonly #reopened: OwnedFd | undefined;
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #buffer = new Uint8Array(WRITE_BUFFER_BYTES);
  readonly #drained: () => void;
  readonly #closed: (errno: number) => void;
  #length = 0;
  #wasFull = false;
  #broken = false;

  /**
   * `drained`: there is room after `write` took less than offered. `closed`: nothing can be written any more:
   * EPIPE, nobody reads; ENOSPC, EIO.
   */
  constructor(
    fd: number,
    loop: EventLoop,
    drained: () => void,
    closed: (errno: number) => void,
  ) {
    this.#reopened = reopenForWriting(fd);
    this.#fd = this.#reopened?.number ?? fd;
    this.#drained = drained;
    this.#closed = closed;
    this.#watch = loop.watch(this.#fd, 0, { ready: () => this.#writeSome() });
  }

  /** Takes up to `length` bytes; returns how many. */
  write(bytes: Uint8Array, length: number): number {
    if (this.#broken) return length; // nobody reads: the guest must not stall for that
    const taken = Math.min(length, this.#buffer.length - this.#length);
    this.#buffer.set(bytes.subarray(0, taken), this.#length);
    this.#length += taken;
    if (taken < length) this.#wasFull = true;
    if (this.#length > 0) this.#watch.update(EPOLLOUT);
    return taken;
  }

  #writeSome(): void {
    const written = writeFd(this.#fd, this.#buffer, Math.min(this.#length, WRITE_BYTES));
    if (written === -EAGAIN || written === -EINTR) return;
    if (written < 0) {
      this.#broken = true;
      this.#length = 0;
      this.#closed(-written);
    } else {
      this.#buffer.copyWithin(0, written, this.#length);
      this.#length -= written;
    }
    if (this.#length === 0) this.#watch.update(0);
    if (this.#wasFull && this.#length <= WRITE_BUFFER_BYTES / 2) {
      this.#wasFull = false;
      this.#drained();
    }
  }

  /** Whether everything taken has been written. */
  get empty(): boolean {
    return this.#length === 0;
  }

  close(): void {
    this.#watch[Symbol.dispose]();
    this.#reopened?.close();
  }
}

/** Reads a descriptor a piece at a time, and only when the last piece has been taken. */
export class FdReader {
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #buffer = new Uint8Array(READ_BYTES);
  readonly #arrived: (bytes: Uint8Array) => void;
  readonly #ended: () => void;
  #open = true;

  /** `arrived` gets each piece (its array is reused), then nothing until `resume`. `ended`: end of file. */
  constructor(
    fd: number,
    loop: EventLoop,
    arrived: (bytes: Uint8Array) => void,
    ended: () => void,
  ) {
    this.#fd = fd;
    this.#arrived = arrived;
    this.#ended = ended;
    this.#watch = loop.watch(fd, EPOLLIN, { ready: () => this.#readSome() });
  }

  #readSome(): void {
    const count = readFd(this.#fd, this.#buffer);
    if (count === -EAGAIN || count === -EINTR) return;
    this.#watch.update(0);
    if (count > 0) return this.#arrived(this.#buffer.subarray(0, count));
    this.close(); // the end, or an error: a terminal that hung up says EIO
    this.#ended();
  }

  /** The last piece has been used up. */
  resume(): void {
    if (this.#open) this.#watch.update(EPOLLIN);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch[Symbol.dispose]();
  }
}
