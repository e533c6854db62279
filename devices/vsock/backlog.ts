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
const pool: Uint8Array<ArrayBuffer>[] = [];

export class Backlog {
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  #start = 0;
  #end = 0;

  /** Bytes that wait. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Copies `length` bytes behind what waits; there is room for BUFFER_BYTES in all. */
  append(reader: ChainReader, length: number): void {
    if (this.length + length > BUFFER_BYTES) {
      throw new InvariantError(`Cannot keep ${length} bytes more than ${this.length}`);
    }
    const bytes = this.#bytes ??= pool.pop() ?? new Uint8Array(BUFFER_BYTES);
    if (this.#end + length > BUFFER_BYTES) {
      bytes.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    reader.bytes(bytes.subarray(this.#end), length);
    this.#end += length;
  }

  /** Writes what the stream takes; returns how many bytes, or BROKEN. */
  drainInto(stream: HostStream): number {
    let drained = 0;
    while (this.#bytes !== undefined && this.length > 0) {
      const written = stream.writeBytes(this.#bytes, this.#start, this.#end);
      if (written === BROKEN) return BROKEN;
      if (written <= 0) break;
      this.#start += written;
      drained += written;
    }
    if (this.length === 0) this.drop();
    return drained;
  }

  /** Forgets what waits. */
  drop(): void {
    if (this.#bytes !== undefined && pool.length < POOLED) pool.push(this.#bytes);
    this.#bytes = undefined;
    this.#start = this.#end = 0;
  }
}
