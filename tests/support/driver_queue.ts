/** The driver's side of one split virtqueue: it owns the rings and checks what comes back (INV-6). */
import { assert, fail } from "../../src/std/assert.ts";
import {
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
  VRING_USED_F_NO_NOTIFY,
} from "../../src/abi/virtio.ts";
import { concat, type GuestRam, littleEndian } from "./guest_ram.ts";
import type { Segment } from "./segments.ts";

export const DESC_BYTES = 16;
const USED_POISON = 0x5e;

/** One descriptor exactly as it lies in memory; nothing is checked. */
export interface RawDescriptor {
  readonly at: number | bigint;
  readonly length: number;
  readonly flags?: number;
  readonly next?: number;
}

/** Where a queue is. */
export interface Placement {
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
}

/** Descriptors in the queue's table, in an indirect table, or the first `direct` in the one, the rest in the other. */
export type Layout = "direct" | "indirect" | { readonly direct: number };

/** What the device said about one chain. */
export interface UsedElement {
  readonly head: number;
  readonly length: number;
}

interface Chain {
  readonly descriptors: readonly number[];
  readonly writable: readonly Segment[];
  readonly writableBytes: number;
}

interface Table {
  readonly at: number;
  readonly entries: number;
}

/** Publishes chains and collects used elements. */
export class DriverQueue {
  readonly #ram: GuestRam;
  readonly #free: number[];
  readonly #chains = new Map<number, Chain>();
  /** How often each head is with the device. */
  readonly #outstanding = new Map<number, number>();
  readonly #tables = new Map<number, Table>();
  /** Where the next chain goes in the available ring; free-running. */
  availIdx = 0;
  /** Used elements seen; free-running. */
  seenUsed = 0;
  #kickedAt = 0;

  constructor(ram: GuestRam, readonly index: number, readonly placement: Placement) {
    this.#ram = ram;
    const { size, desc, avail, used } = placement;
    this.#free = Array.from({ length: size }, (_, i) => size - 1 - i);
    ram.fill(desc, DESC_BYTES * size, 0);
    ram.fill(avail, 6 + 2 * size, 0);
    ram.fill(used, 6 + 8 * size, 0);
    // Elements are not zero, so that one written by mistake is seen even if it says "head 0, length 0".
    ram.fill(used + 4, 8 * size, USED_POISON);
    ram.allow(used, 6 + 8 * size);
  }

  get size(): number {
    return this.placement.size;
  }

  /** Descriptors nobody uses. */
  get freeDescriptors(): number {
    return this.#free.length;
  }

  /** Chains with the device. */
  get outstanding(): number {
    return [...this.#outstanding.values()].reduce((sum, count) => sum + count, 0);
  }

  get usedIdx(): number {
    return this.#ram.u16(this.placement.used + 2);
  }

  get usedFlags(): number {
    return this.#ram.u16(this.placement.used);
  }

  get availEvent(): number {
    return this.#ram.u16(this.placement.used + 4 + 8 * this.size);
  }

  setUsedEvent(value: number): void {
    this.#ram.set(this.placement.avail + 4 + 2 * this.size, 2, value);
  }

  setAvailFlags(value: number): void {
    this.#ram.set(this.placement.avail, 2, value);
  }

  /** Writes entry `index` of the queue's own table, or of the table at `table`. */
  writeDescriptor(index: number, descriptor: RawDescriptor, table = this.placement.desc): void {
    this.#ram.write(table + index * DESC_BYTES, descriptorBytes(descriptor));
  }

  /** Lays a chain out and returns its head; the device does not see it before `publish`. */
  add(segments: readonly Segment[], layout: Layout = "direct"): number {
    const direct = layout === "direct"
      ? segments.length
      : layout === "indirect"
      ? 0
      : layout.direct;
    const inRing = segments.slice(0, direct).map(rawDescriptor);
    const inTable = segments.slice(direct).map(rawDescriptor);
    const count = inRing.length + (inTable.length > 0 ? 1 : 0);
    const descriptors = Array.from({ length: count }, () => this.#takeFree());
    const head = descriptors[0] ?? fail("A chain needs a descriptor");
    if (inTable.length > 0) inRing.push(this.#fillTable(head, inTable));
    inRing.forEach((descriptor, i) =>
      this.writeDescriptor(descriptors[i] ?? 0, linked(descriptor, descriptors[i + 1]))
    );
    const writable = segments.filter((segment) => segment.writable);
    this.track(head, writable, descriptors);
    return head;
  }

  #takeFree(): number {
    return this.#free.pop() ?? fail(`Queue ${this.index} has no free descriptor`);
  }

  #fillTable(head: number, entries: readonly RawDescriptor[]): RawDescriptor {
    let table = this.#tables.get(head);
    if (table === undefined || table.entries < entries.length) {
      table = { at: this.#ram.allocate(entries.length * DESC_BYTES), entries: entries.length };
      this.#tables.set(head, table);
    }
    const at = table.at;
    entries.forEach((entry, i) =>
      this.writeDescriptor(i, linked(entry, i + 1 < entries.length ? i + 1 : undefined), at)
    );
    return { at, length: entries.length * DESC_BYTES, flags: VRING_DESC_F_INDIRECT };
  }

  /** Remembers a chain written by hand: what the device may write, and what to free when it comes back. */
  track(head: number, writable: readonly Segment[], descriptors: readonly number[] = []): void {
    for (const { at, length } of writable) this.#ram.allow(at, length);
    const writableBytes = writable.reduce((sum, { length }) => sum + length, 0);
    this.#chains.set(head, { descriptors, writable, writableBytes });
  }

  /** Puts heads in the available ring and moves its index once. */
  publish(...heads: readonly number[]): void {
    for (const head of heads) {
      this.writeSlot(this.availIdx, head);
      this.availIdx = (this.availIdx + 1) & 0xffff;
      this.#outstanding.set(head, (this.#outstanding.get(head) ?? 0) + 1);
    }
    this.writeAvailIdx(this.availIdx);
  }

  writeSlot(position: number, head: number): void {
    this.#ram.set(this.placement.avail + 4 + 2 * (position % this.size), 2, head);
  }

  writeAvailIdx(value: number): void {
    this.#ram.set(this.placement.avail + 2, 2, value);
  }

  /** Whether the device asked for a kick for what was published since the last call (2.7.10.1). */
  wantsKick(eventIdx: boolean): boolean {
    const before = this.#kickedAt;
    this.#kickedAt = this.availIdx;
    if (!eventIdx) return (this.usedFlags & VRING_USED_F_NO_NOTIFY) === 0;
    const passed = (this.availIdx - this.availEvent - 1) & 0xffff;
    return passed < ((this.availIdx - before) & 0xffff);
  }

  /** Used elements since the last call. Fails on a head that is not with the device (VQ-SPLIT-14, INV-6). */
  poll(): UsedElement[] {
    const elements: UsedElement[] = [];
    const until = this.usedIdx;
    assert(
      ((until - this.seenUsed) & 0xffff) <= this.size,
      `used.idx moved from ${this.seenUsed} to ${until}`,
    );
    while (this.seenUsed !== until) {
      const at = this.placement.used + 4 + 8 * (this.seenUsed % this.size);
      elements.push(this.#takeBack({ head: this.#ram.u32(at), length: this.#ram.u32(at + 4) }));
      this.seenUsed = (this.seenUsed + 1) & 0xffff;
    }
    return elements;
  }

  /** The device has no business with this queue any more: nothing of it may change from now on. */
  retire(): void {
    const { used, size } = this.placement;
    this.#ram.seal(used, 6 + 8 * size);
    for (const { writable } of this.#chains.values()) {
      for (const { at, length } of writable) this.#ram.seal(at, length);
    }
    this.#chains.clear();
    this.#outstanding.clear();
  }

  #takeBack(element: UsedElement): UsedElement {
    const count = this.#outstanding.get(element.head) ?? 0;
    assert(count > 0, `Head ${element.head} came back without being with the device (INV-6)`);
    if (count > 1) {
      this.#outstanding.set(element.head, count - 1);
      return element;
    }
    this.#outstanding.delete(element.head);
    const chain = this.#chains.get(element.head);
    if (chain === undefined) return element;
    this.#chains.delete(element.head);
    assert(
      element.length <= chain.writableBytes,
      `used.len ${element.length} exceeds ${chain.writableBytes} writable bytes (VQ-SPLIT-18)`,
    );
    for (const { at, length } of chain.writable) this.#ram.seal(at, length);
    this.#free.push(...[...chain.descriptors].reverse());
    return element;
  }
}

function rawDescriptor(segment: Segment): RawDescriptor {
  return {
    at: segment.at,
    length: segment.length,
    flags: segment.writable ? VRING_DESC_F_WRITE : 0,
  };
}

function linked(descriptor: RawDescriptor, next: number | undefined): RawDescriptor {
  if (next === undefined) return { ...descriptor, next: 0xdead }; // meaningless without NEXT (VQ-SPLIT-10)
  return { ...descriptor, flags: (descriptor.flags ?? 0) | VRING_DESC_F_NEXT, next };
}

/** A descriptor as 16 bytes. */
export function descriptorBytes({ at, length, flags = 0, next = 0 }: RawDescriptor): Uint8Array {
  return concat(
    littleEndian(at, 8),
    littleEndian(length, 4),
    littleEndian(flags, 2),
    littleEndian(next, 2),
  );
}
