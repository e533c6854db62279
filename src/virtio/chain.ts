/**
 * A descriptor chain as a device sees it: a reader over the driver's readable bytes, a writer over the
 * writable ones (spec 2.7.4). Built by a virtqueue from descriptors it has copied and checked, so cursors
 * cannot leave guest RAM; pooled, so nothing is allocated per request.
 */
import type { MemoryRegion } from "../memory/guest_memory.ts";
import { InvariantError } from "./faults.ts";
import type { IovecList } from "./iovec_list.ts";

/** Up to here a loop copies bytes faster than a view is made of them. */
const LOOP_BYTES = 64;

function copy(from: Uint8Array, start: number, to: Uint8Array, at: number, length: number): void {
  if (length > LOOP_BYTES) return to.set(from.subarray(start, start + length), at);
  for (let i = 0; i < length; i++) to[at + i] = from[start + i] as number;
}

/** The checked spans of one direction, as columns, and a cursor over them. */
class Cursor {
  #regions: MemoryRegion[] = [];
  #offsets = new Float64Array(16);
  #lengths = new Float64Array(16);
  #count = 0;
  #index = 0;
  #within = 0;
  #remaining = 0;
  #total = 0;

  /** Bytes between the cursor and the end. */
  get remaining(): number {
    return this.#remaining;
  }

  /** For the queue only: starts a new chain. */
  clear(): void {
    this.#count = 0;
    this.#index = 0;
    this.#within = 0;
    this.#remaining = 0;
    this.#total = 0;
  }

  /** Puts the cursor back to the first byte. What was read may have changed since: whoever decides by it keeps it. */
  rewind(): void {
    this.#index = 0;
    this.#within = 0;
    this.#remaining = this.#total;
  }

  /** For the queue only: appends `length` > 0 bytes at `offset` of `region`. */
  addSpan(region: MemoryRegion, offset: number, length: number): void {
    if (this.#count === this.#offsets.length) this.#grow();
    this.#regions[this.#count] = region;
    this.#offsets[this.#count] = offset;
    this.#lengths[this.#count] = length;
    this.#count++;
    this.#remaining += length;
    this.#total += length;
  }

  #grow(): void {
    const offsets = new Float64Array(this.#count * 2);
    offsets.set(this.#offsets);
    this.#offsets = offsets;
    const lengths = new Float64Array(this.#count * 2);
    lengths.set(this.#lengths);
    this.#lengths = lengths;
  }

  /** The region the cursor is in. Valid while `remaining` > 0. */
  protected region(): MemoryRegion {
    return this.#regions[this.#index] as MemoryRegion;
  }

  /** The cursor's byte offset in `region()`. */
  protected offset(): number {
    return (this.#offsets[this.#index] as number) + this.#within;
  }

  /** Bytes up to the end of the current span. */
  protected contiguous(): number {
    return (this.#lengths[this.#index] as number) - this.#within;
  }

  /** Moves the cursor by `n` <= `contiguous()`. */
  protected step(n: number): void {
    this.#within += n;
    this.#remaining -= n;
    if (this.#within === this.#lengths[this.#index]) {
      this.#index++;
      this.#within = 0;
    }
  }

  /** Moves the cursor past `n` bytes. */
  skip(n: number): void {
    this.need(n);
    while (n > 0) {
      const part = Math.min(n, this.contiguous());
      this.step(part);
      n -= part;
    }
  }

  /** Moves up to `max` bytes onto `into`, as addresses; returns how many. */
  take(into: IovecList, max: number): number {
    const total = Math.min(max, this.#remaining);
    let left = total;
    while (left > 0) {
      const part = Math.min(left, this.contiguous());
      into.add(this.region().hostBase + this.offset(), part);
      this.step(part);
      left -= part;
    }
    return total;
  }

  /** Devices look at `remaining` first; not to do so is our bug, not the driver's. */
  protected need(n: number): void {
    if (n > this.#remaining) {
      throw new InvariantError(`Cannot move ${n} bytes in a chain with ${this.#remaining} left`);
    }
  }
}

/** The device-readable part of a chain. Every access moves the cursor. */
export class ChainReader extends Cursor {
  u8(): number {
    this.need(1);
    const value = this.region().u8[this.offset()] as number;
    this.step(1);
    return value;
  }

  u16(): number {
    return this.u8() | (this.u8() << 8);
  }

  u32(): number {
    this.need(4);
    const offset = this.offset();
    // The common case: a header at an aligned address inside one descriptor.
    if ((offset & 3) === 0 && this.contiguous() >= 4) {
      const value = this.region().u32[offset / 4] as number;
      this.step(4);
      return value;
    }
    return (this.u16() | (this.u16() << 16)) >>> 0;
  }

  /** Fills the first `length` bytes of `into`. */
  bytes(into: Uint8Array, length: number = into.length): void {
    this.need(length);
    let done = 0;
    while (done < length) {
      const part = Math.min(length - done, this.contiguous());
      copy(this.region().u8, this.offset(), into, done, part);
      this.step(part);
      done += part;
    }
  }
}

/** The device-writable part of a chain, and the count of bytes that become `used.len`. */
export class ChainWriter extends Cursor {
  #written = 0;

  /** Bytes written so far. */
  get written(): number {
    return this.#written;
  }

  override clear(): void {
    super.clear();
    this.#written = 0;
  }

  u8(value: number): void {
    this.need(1);
    this.region().u8[this.offset()] = value;
    this.step(1);
    this.#written++;
  }

  u16(value: number): void {
    this.u8(value);
    this.u8(value >>> 8);
  }

  u32(value: number): void {
    this.need(4);
    const offset = this.offset();
    if ((offset & 3) === 0 && this.contiguous() >= 4) { // as the reader's
      this.region().u32[offset / 4] = value;
      this.step(4);
      this.#written += 4;
      return;
    }
    this.u16(value);
    this.u16(value >>> 16);
  }

  /** Copies the first `length` bytes of `from`. */
  bytes(from: Uint8Array, length: number = from.length): void {
    this.need(length);
    let done = 0;
    while (done < length) {
      const part = Math.min(length - done, this.contiguous());
      copy(from, done, this.region().u8, this.offset(), part);
      this.step(part);
      done += part;
    }
    this.#written += length;
  }

  /** Counts `n` bytes that the kernel has written through addresses given out by `take`. */
  commit(n: number): void {
    this.#written += n;
  }
}

/** One buffer the driver has made available. Valid from `pop` to `complete`. */
export class DescriptorChain {
  /** The head descriptor's index: the buffer's name in the used ring. */
  head = 0;
  readonly reader: ChainReader = new ChainReader();
  readonly writer: ChainWriter = new ChainWriter();
}
