/**
 * What a guest has sent and the host does not take yet. Bounded by the credit the guest was given; it has memory only
 * while something waits, from a small pool, so that a thousand idle connections cost nothing.
 */
import type { ChainReader } from "../../src/virtio/chain.ts";
import { InvariantError } from "../../src/virtio/faults.ts";
import { BROKEN, type HostStream } from "./backend.ts";

/** Credit a connection gives: what Linux gives (VIRTIO_VSOCK_DEFAULT_BUF_SIZE), four packets of the largest size. */
export const BUFFER_BYTES: number = 256 * 1024;
/** Buffers kept for the next connection that needs one. */
const POOLED = 16;

/** Buffers of one size. */
export class BufferPool {
  readonly bytes: number;
  readonly #free: Uint8Array<ArrayBuffer>[] = [];

  constructor(bytes: number) {
    this.bytes = bytes;
  }

  take(): Uint8Array<ArrayBuffer> {
    return this.#free.pop() ?? new Uint8Array(this.bytes);
  }

  give(buffer: Uint8Array<ArrayBuffer>): void {
    if (this.#free.length < POOLED) this.#free.push(buffer);
  }
}

const pool = new BufferPool(BUFFER_BYTES);

export class Backlog {
  readonly #pool: BufferPool;
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  #start = 0;
  #end = 0;

  constructor(buffers: BufferPool = pool) {
    this.#pool = buffers;
  }

  /** Bytes that wait. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Bytes of the guest's among them. */
  get payload(): number {
    return this.length;
  }

  /** Bytes there is room for. */
  get room(): number {
    return this.#pool.bytes - this.length;
  }

  /** Copies `length` <= `room` bytes behind what waits. */
  append(reader: ChainReader, length: number): void {
    reader.bytes(this.#extend(length), length);
  }

  /** The same from the front of `bytes`. */
  protected appendBytes(bytes: Uint8Array<ArrayBuffer>, length: number): void {
    const to = this.#extend(length);
    for (let i = 0; i < length; i++) to[i] = bytes[i] as number;
  }

  #extend(length: number): Uint8Array<ArrayBuffer> {
    if (length > this.room) {
      throw new InvariantError(`Cannot keep ${length} bytes more than ${this.length}`);
    }
    const bytes = this.#bytes ??= this.#pool.take();
    if (this.#end + length > bytes.length) {
      bytes.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const at = this.#end;
    this.#end += length;
    return bytes.subarray(at, this.#end);
  }

  /** Writes what the stream takes; returns how many bytes of the guest's, or BROKEN. */
  drainInto(stream: HostStream): number {
    let drained = 0;
    while (this.#bytes !== undefined && this.length > 0) {
      const written = stream.writeBytes(this.#bytes, this.#start, this.#end);
      if (written === BROKEN) return BROKEN;
      if (written <= 0) break;
      drained += this.payloadOf(this.#bytes, this.#start, this.#start + written);
      this.#start += written;
    }
    if (this.length === 0) this.drop();
    return drained;
  }

  /** Bytes of the guest's in `bytes`[start, end), which the stream has just taken. */
  protected payloadOf(_bytes: Uint8Array<ArrayBuffer>, start: number, end: number): number {
    return end - start;
  }

  /** Forgets what waits. */
  drop(): void {
    if (this.#bytes !== undefined) this.#pool.give(this.#bytes);
    this.#bytes = undefined;
    this.#start = this.#end = 0;
  }
}
