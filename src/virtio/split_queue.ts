/**
 * The device side of a split virtqueue (spec 2.7) with INDIRECT_DESC and EVENT_IDX. Popped by devices, made
 * by `QueueConfig.activate`.
 *
 * Shared with the driver, who may run on another CPU and lie. Memory order: `avail.idx`, `used.idx`, the flags
 * and the event words go through Atomics only (sequentially consistent: the acquire before ring reads, the
 * release after used elements, and the full fences of 2.7.13 that both re-checks need). Elements are plain
 * stores and loads in between. Indexes are kept privately and never read back (HD-07).
 */
import {
  VRING_AVAIL_F_NO_INTERRUPT,
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  VRING_USED_F_NO_NOTIFY,
} from "../abi/virtio.ts";
import type { Gpa, GuestMemory, MemoryRegion } from "../memory/guest_memory.ts";
import { DescriptorChain } from "./chain.ts";
import type { Interrupt, Virtqueue } from "./device.ts";
import { DriverFault } from "./faults.ts";

/**
 * Longest chain we take. Linux cuts requests by the device's seg_max, far below; a driver that claims more
 * wants to make us allocate (HD-22, HD-27).
 */
export const MAX_CHAIN_SEGMENTS = 1024;
const DESC_BYTES = 16;
const HIGH_LIMIT = 0x20_0000; // addresses stay below 2**53: exact as doubles
const MAX_CHAIN_BYTES = 0xffff_ffff; // used.len is 32 bits wide

/** Checked by `QueueConfig`: every part is aligned and whole inside one region. */
export interface SplitQueueLayout {
  readonly index: number;
  readonly size: number;
  readonly desc: Gpa;
  readonly avail: Gpa;
  readonly used: Gpa;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
}

/** A queue in operation. Owned by the I/O thread. */
export class SplitQueue implements Virtqueue {
  readonly index: number;
  readonly size: number;
  readonly #memory: GuestMemory;
  readonly #interrupt: Interrupt;
  readonly #eventIdx: boolean;
  readonly #indirect: boolean;
  readonly #mask: number;

  readonly #descRegion: MemoryRegion;
  readonly #descOffset: number;
  readonly #avail: Uint16Array;
  readonly #availFlags: number;
  readonly #availIdx: number;
  readonly #availRing: number;
  readonly #usedEvent: number;
  readonly #used16: Uint16Array;
  readonly #used32: Uint32Array;
  readonly #usedFlags: number;
  readonly #usedIdx: number;
  readonly #usedRing: number;
  readonly #availEvent: number;

  #nextAvail = 0; // free-running u16, as all four
  #seenAvail = 0;
  #nextUsed = 0;
  #flushedUsed = 0;
  #inFlight = 0;
  #broken = false;
  /** Whether `arm` only notes the wish, and `armNow` fulfils it: see `setPolled`. */
  #isPolled = false;
  /** The device has asked for kicks since it last asked for none. */
  #wanted = false;
  /** ... and the driver has not been asked yet. */
  #unasked = false;
  /** avail.idx the device was last told of without a kick; -1: none. */
  #told = -1;
  #discarded = 0;
  readonly #free: DescriptorChain[] = [];

  // The descriptor last read by #fetch: copied out of guest memory once (VQ-SPLIT-22).
  #addrLow = 0;
  #addrHigh = 0;
  #len = 0;
  #flags = 0;
  #next = 0;

  constructor(memory: GuestMemory, interrupt: Interrupt, layout: SplitQueueLayout) {
    this.index = layout.index;
    this.size = layout.size;
    this.#memory = memory;
    this.#interrupt = interrupt;
    this.#eventIdx = layout.eventIdx;
    this.#indirect = layout.indirect;
    this.#mask = layout.size - 1;

    this.#descRegion = memory.region(layout.desc, DESC_BYTES * layout.size);
    this.#descOffset = layout.desc - this.#descRegion.base;

    const avail = memory.region(layout.avail, 6 + 2 * layout.size);
    this.#avail = avail.u16;
    this.#availFlags = (layout.avail - avail.base) / 2;
    this.#availIdx = this.#availFlags + 1;
    this.#availRing = this.#availFlags + 2;
    this.#usedEvent = this.#availRing + layout.size;

    const used = memory.region(layout.used, 6 + 8 * layout.size);
    this.#used16 = used.u16;
    this.#used32 = used.u32;
    this.#usedFlags = (layout.used - used.base) / 2;
    this.#usedIdx = this.#usedFlags + 1;
    this.#usedRing = (layout.used - used.base) / 4 + 1;
    this.#availEvent = this.#usedFlags + 2 + 4 * layout.size;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Chains given back unserved because their descriptors were unusable (class C faults). */
  get discarded(): number {
    return this.#discarded;
  }

  pop(): DescriptorChain | undefined {
    // Unusable chains are answered with length 0 here; at most `size` of them, so that a driver that makes
    // them faster than we discard them cannot hold the loop (HD-05).
    for (let tries = 0; tries < this.size; tries++) {
      if (this.#broken || !this.#available()) return undefined;
      // One chain per ring entry is the most an honest driver can have taken by us (HD-04).
      if (this.#inFlight >= this.size) {
        throw new DriverFault(`Queue ${this.index}: more than ${this.size} chains in flight`);
      }
      const head = this.#avail[this.#availRing + (this.#nextAvail & this.#mask)] as number;
      if (head >= this.size) {
        throw new DriverFault(
          `Queue ${this.index}: head ${head} is beyond ${this.size} descriptors`,
        );
      }
      this.#nextAvail = (this.#nextAvail + 1) & 0xffff;
      const chain = this.#free.pop() ?? new DescriptorChain();
      chain.head = head;
      chain.reader.clear();
      chain.writer.clear();
      const usable = this.#load(chain);
      this.#inFlight++;
      if (usable) return chain;
      chain.writer.clear();
      this.#discarded++;
      this.complete(chain);
    }
    return undefined;
  }

  #available(): boolean {
    if (this.#nextAvail !== this.#seenAvail) return true;
    const idx = Atomics.load(this.#avail, this.#availIdx);
    const fresh = (idx - this.#nextAvail) & 0xffff;
    if (fresh > this.size) {
      throw new DriverFault(
        `Queue ${this.index}: avail.idx is ${fresh} ahead of a queue of ${this.size}`,
      );
    }
    this.#seenAvail = idx;
    return fresh > 0;
  }

  /** Copies and checks the chain at `chain.head`. False: discard it (class C). Throws DriverFault (class R). */
  #load(chain: DescriptorChain): boolean {
    let region = this.#descRegion;
    let table = this.#descOffset;
    let entries = this.size;
    let inTable = false;
    let index = chain.head;
    let steps = 0;
    let segments = 0;
    let writing = false;

    for (;;) {
      // A chain longer than its table visits an entry twice (HD-12).
      if (++steps > entries) throw new DriverFault(`Queue ${this.index}: descriptor chain loops`);
      this.#fetch(region, table + index * DESC_BYTES);
      const flags = this.#flags;

      if ((flags & VRING_DESC_F_INDIRECT) !== 0) {
        entries = this.#indirectEntries(inTable);
        if (this.#addrHigh >= HIGH_LIMIT) return false;
        const at = this.#addrHigh * 0x1_0000_0000 + this.#addrLow;
        const holder = this.#memory.find(at, entries * DESC_BYTES);
        if (holder === undefined) return false;
        region = holder;
        table = at - holder.base;
        inTable = true;
        index = 0;
        steps = 0;
        continue;
      }

      if (this.#len > 0) { // empty descriptors carry nothing; skip them (HD-16)
        const isWritable = (flags & VRING_DESC_F_WRITE) !== 0;
        if (writing && !isWritable) return false; // readable after writable (HD-25)
        writing = isWritable;
        if (++segments > MAX_CHAIN_SEGMENTS || this.#addrHigh >= HIGH_LIMIT) return false;
        const at = this.#addrHigh * 0x1_0000_0000 + this.#addrLow;
        const holder = this.#memory.find(at, this.#len);
        if (holder === undefined) return false;
        const cursor = isWritable ? chain.writer : chain.reader;
        cursor.addSpan(holder, at - holder.base, this.#len);
        if (chain.reader.remaining + chain.writer.remaining > MAX_CHAIN_BYTES) return false;
      }

      if ((flags & VRING_DESC_F_NEXT) === 0) return segments > 0;
      index = this.#next;
      if (index >= entries) {
        throw new DriverFault(
          `Queue ${this.index}: next ${index} is beyond ${entries} descriptors`,
        );
      }
    }
  }

  /** Entries of the indirect table in the fetched descriptor (2.7.5.3); refuses what a driver must not do. */
  #indirectEntries(inTable: boolean): number {
    const fault = !this.#indirect
      ? "was not negotiated"
      : inTable
      ? "inside an indirect table"
      : (this.#flags & VRING_DESC_F_NEXT) !== 0
      ? "together with NEXT"
      : this.#len === 0 || this.#len % DESC_BYTES !== 0
      ? `has length ${this.#len}`
      : this.#len / DESC_BYTES > MAX_CHAIN_SEGMENTS
      ? `has more than ${MAX_CHAIN_SEGMENTS} entries`
      : undefined;
    if (fault !== undefined) throw new DriverFault(`Queue ${this.index}: INDIRECT ${fault}`);
    return this.#len / DESC_BYTES;
  }

  #fetch(region: MemoryRegion, offset: number): void {
    if ((offset & 3) === 0) {
      const words = region.u32;
      const at = offset / 4;
      this.#addrLow = words[at] as number;
      this.#addrHigh = words[at + 1] as number;
      this.#len = words[at + 2] as number;
      const last = words[at + 3] as number;
      this.#flags = last & 0xffff;
      this.#next = last >>> 16;
      return;
    }
    // Indirect tables need no alignment (VQ-IND-05).
    const bytes = region.u8;
    this.#addrLow = word(bytes, offset);
    this.#addrHigh = word(bytes, offset + 4);
    this.#len = word(bytes, offset + 8);
    const last = word(bytes, offset + 12);
    this.#flags = last & 0xffff;
    this.#next = last >>> 16;
  }

  unpop(chain: DescriptorChain): void {
    this.#nextAvail = (this.#nextAvail - 1) & 0xffff;
    this.#inFlight--;
    this.#free.push(chain);
  }

  complete(chain: DescriptorChain): void {
    this.#inFlight--;
    this.#free.push(chain);
    if (this.#broken) return; // NEEDS_RESET: no ring access any more (BF-STAT-09)
    const at = this.#usedRing + 2 * (this.#nextUsed & this.#mask);
    this.#used32[at] = chain.head;
    this.#used32[at + 1] = chain.writer.written;
    this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
  }

  flush(): void {
    const now = this.#nextUsed;
    const before = this.#flushedUsed;
    if (now === before || this.#broken) return;
    this.#flushedUsed = now;
    Atomics.store(this.#used16, this.#usedIdx, now);
    if (this.#wantsInterrupt(before, now)) this.#interrupt.queue(this.index);
  }

  #wantsInterrupt(before: number, now: number): boolean {
    if (this.#eventIdx) { // 2.7.7.2: the driver's mark lies in (before, now]
      const event = Atomics.load(this.#avail, this.#usedEvent);
      return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
    }
    return (Atomics.load(this.#avail, this.#availFlags) & VRING_AVAIL_F_NO_INTERRUPT) === 0;
  }

  disarm(): void {
    this.#wanted = false;
    // With EVENT_IDX an avail_event left behind already silences the driver, and flags must stay 0 (2.7.10.2).
    if (!this.#eventIdx && !this.#broken) {
      Atomics.store(this.#used16, this.#usedFlags, VRING_USED_F_NO_NOTIFY);
    }
  }

  arm(): boolean {
    if (this.#broken) return false;
    this.#wanted = true;
    this.#unasked = true;
    this.#told = -1;
    if (!this.#isPolled) return this.armNow();
    return Atomics.load(this.#avail, this.#availIdx) !== this.#nextAvail;
  }

  /**
   * Somebody looks at `hasNews` from now on and calls `armNow` when that ends. Until then the driver is left alone:
   * a kick is an exit, and a kick that is not needed costs more than the request.
   */
  setPolled(): void {
    this.#isPolled = true;
  }

  /**
   * Whether the device waits for buffers and the driver has added some it was not told of. A device that was told
   * and let them lie (no input to put there) is not told again until the driver adds more, or the device asks.
   */
  get hasNews(): boolean {
    if (!this.#wanted || this.#broken) return false;
    const idx = Atomics.load(this.#avail, this.#availIdx);
    return idx !== this.#nextAvail && idx !== this.#told;
  }

  /** The device is about to be told of everything there is. */
  noteTold(): void {
    this.#told = Atomics.load(this.#avail, this.#availIdx);
  }

  /**
   * Asks the driver for kicks, if the device wants any. True: more has arrived meanwhile. The store comes before the
   * load in the one order of all Atomics, as the driver's store of avail.idx comes before its load of our wish
   * (2.7.13): one of the two sees the other's, so either it kicks or we find its buffer here.
   */
  armNow(): boolean {
    if (this.#unasked && !this.#broken) {
      this.#unasked = false;
      if (this.#eventIdx) Atomics.store(this.#used16, this.#availEvent, this.#nextAvail);
      else Atomics.store(this.#used16, this.#usedFlags, 0);
    }
    return this.hasNews;
  }

  breakOff(): void {
    this.#broken = true;
  }
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) | ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24)) >>> 0;
}
