/** Runs one case on a device of its own, and says what is wrong with the device if anything is. */
import {
  VIRTIO_MMIO_STATUS,
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
} from "../../src/abi/virtio.ts";
import { DEVICES } from "../conformance/devices.ts";
import { DESC_BYTES, descriptorBytes, type Placement } from "../support/driver_queue.ts";
import { concat, HIGH_BASE, littleEndian } from "../support/guest_ram.ts";
import { MMIO, MmioDriver } from "../support/mmio_driver.ts";
import { RUNNING } from "../support/mock_driver.ts";
import { type DeviceRow, TestStand } from "../support/test_stand.ts";
import { Random } from "./random.ts";
import type { FuzzCase, Part, Step } from "./steps.ts";
import { strayRequest } from "./stray_requests.ts";

/** Nothing may take longer, however odd what the guest asks for (issue: a hang over 100 ms). */
export const HANG_MS = 100;

const AREA_BYTES = 0x5000;
const TABLES_BYTES = 0x1000;
const TABLE_BYTES = 96;
const MAX_QUEUES = 8;
const MAX_SIZE = 256;

interface Ring extends Placement {
  availIdx: number;
  /** Chains published since the queue was set up; Infinity once the index has jumped. */
  published: number;
}

class FuzzRun {
  readonly #stand: TestStand;
  readonly #registers: MmioDriver;
  readonly #strict: boolean;
  readonly #readable: number;
  readonly #writable: number;
  readonly #tables: number;
  readonly #wild: readonly number[];
  readonly #rings: { readonly low: Ring[]; readonly high: Ring[] };
  #live: Ring[] = [];
  /** Where the next payload goes in the readable area. */
  #fill = 0;

  constructor(row: DeviceRow, strict: boolean) {
    this.#stand = new TestStand(row, MMIO);
    const { ram, transport } = this.#stand;
    if (!(transport instanceof MmioDriver)) {
      throw new TypeError("The fuzzer knows virtio-mmio only");
    }
    this.#registers = transport;
    this.#strict = strict;
    this.#readable = ram.allocate(AREA_BYTES, 16);
    ram.write(this.#readable, Uint8Array.from({ length: AREA_BYTES }, (_, i) => i * 7 + (i >> 8)));
    this.#writable = ram.allocate(AREA_BYTES, 16);
    ram.allow(this.#writable, AREA_BYTES);
    this.#tables = ram.allocate(TABLES_BYTES, 16);
    ram.fill(this.#tables, TABLES_BYTES, 0);
    this.#rings = { low: [], high: [] };
    this.#wild = [
      ...[ram.lowEnd - 8, ram.lowEnd, HIGH_BASE - 8, ram.highEnd - 8, ram.highEnd, 0x1000_0000],
      ...[0xfee0_0000, 2 ** 40, 2 ** 52 - 16, 2 ** 52, 2 ** 53, 2 ** 63, 2 ** 64 - 4096],
    ];
  }

  step(step: Step): void {
    const { loop, specimen, transport } = this.#stand;
    switch (step.do) {
      case "up":
        return this.#bringUp(step);
      case "status":
        return void this.#registers.write(VIRTIO_MMIO_STATUS, step.value);
      case "write":
        return void this.#registers.write(step.offset, step.value, step.size);
      case "read":
        return void this.#registers.read(step.offset, step.size);
      case "request":
        return this.#request(step);
      case "stray": {
        const stray = strayRequest(this.#stand.row.name, new Random(step.value));
        if (stray === undefined) return;
        this.#withRing(
          stray.queue,
          (ring) => this.#submit(ring, stray.readable, stray.writable, step),
        );
        // Its own queue, or nothing would come of it.
        return transport.kick(stray.queue % Math.max(1, this.#live.length));
      }
      case "chain":
        return this.#withRing(step.queue, (ring) => {
          step.parts.forEach((part, i) => this.#describe(ring.desc, ring.size, step.at + i, part));
          for (let i = 0; i < step.times; i++) this.#publish(ring, step.at % ring.size);
        });
      case "table": {
        const table = this.#tables + step.at * TABLE_BYTES;
        return step.parts.forEach((part, i) =>
          this.#describe(table, TABLE_BYTES / DESC_BYTES, i, part)
        );
      }
      case "byte":
        return this.#withRing(step.queue, (ring) => {
          const [base, bytes] = step.ring === "tables"
            ? [this.#tables, TABLES_BYTES]
            : step.ring === "desc"
            ? [ring.desc, DESC_BYTES * MAX_SIZE]
            : [ring.avail, 6 + 2 * MAX_SIZE];
          this.#stand.ram.write(base + step.offset % bytes, Uint8Array.of(step.value));
        });
      case "avail":
        return this.#withRing(step.queue, (ring) => {
          this.#setAvailIdx(ring, ring.availIdx + step.delta);
          ring.published = Infinity;
        });
      case "event":
        return this.#withRing(step.queue, (ring) => {
          this.#stand.ram.set(ring.avail + 4 + 2 * ring.size, 2, step.value);
          this.#stand.ram.set(ring.avail, 2, step.value & 3);
        });
      case "kick":
        return transport.kick(step.queue);
      case "turn":
        return loop.turn();
      case "settle":
        return loop.settle();
      case "advance":
        return loop.advance(step.ms);
      case "stall":
        return specimen.stall();
      case "release":
        return specimen.release();
      case "config":
        return specimen.changeConfig();
      case "meddle":
        return specimen.meddle?.(step.value);
    }
  }

  /** What must hold whatever has happened: no foreign byte changed, and after a reset all is well (INV-1 to 3). */
  finish(): void {
    const { specimen, loop, transport, driver } = this.#stand;
    specimen.release();
    loop.settle();
    transport.writeStatus(0);
    loop.advance(100_000); // the patience with what a reset waits for
    if (this.#strict) return this.#stand.checkInvariants();
    driver.bringUp({ size: 16 });
    this.#stand.roundTrip();
  }

  #bringUp({ mask, size, high }: Step & { do: "up" }): void {
    const { transport, driver, loop } = this.#stand;
    transport.writeStatus(0);
    loop.settle();
    if (transport.status() !== 0) return; // it waits for a backend that was stalled
    transport.writeStatus(1);
    transport.writeStatus(3);
    const offered = driver.offered();
    // VERSION_1 and what is general stays: a device that refuses the driver is no use.
    driver.writeFeatures(offered & (BigInt(mask) | ~0xffff_ffffn));
    transport.writeStatus(RUNNING & ~4);
    if (transport.status() !== (RUNNING & ~4)) {
      driver.writeFeatures(offered);
      transport.writeStatus(0);
      loop.settle();
      if (transport.status() !== 0) return;
      transport.writeStatus(3);
      driver.writeFeatures(offered);
      transport.writeStatus(RUNNING & ~4);
    }
    this.#live = [];
    for (let index = 0; index < MAX_QUEUES; index++) {
      const max = transport.queueMaxSize(index);
      if (max === 0) break;
      const ring = this.#ring(index, high);
      Object.assign(ring, { size: Math.min(size, max), availIdx: 0, published: 0 });
      this.#stand.ram.fill(ring.desc, DESC_BYTES * MAX_SIZE, 0);
      this.#stand.ram.fill(ring.avail, 6 + 2 * MAX_SIZE, 0);
      this.#stand.ram.fill(ring.used, 6 + 8 * MAX_SIZE, 0);
      driver.program(index, ring);
      transport.enableQueue(index);
      this.#live.push(ring);
    }
    transport.writeStatus(RUNNING);
    loop.settle();
  }

  /** Rings with room for the largest size, used again by the next `up`. */
  #ring(index: number, high: boolean): Ring {
    const rings = high ? this.#rings.high : this.#rings.low;
    const where = high ? "high" : "low";
    const { ram } = this.#stand;
    while (rings.length <= index) {
      const used = ram.allocate(6 + 8 * MAX_SIZE, 4, where);
      ram.allow(used, 6 + 8 * MAX_SIZE);
      rings.push({
        size: 0,
        desc: ram.allocate(DESC_BYTES * MAX_SIZE, 16, where),
        avail: ram.allocate(6 + 2 * MAX_SIZE, 2, where),
        used,
        availIdx: 0,
        published: 0,
      });
    }
    const ring = rings[index];
    if (ring === undefined) throw new RangeError(`no ring ${index}`);
    return ring;
  }

  #withRing(index: number, work: (ring: Ring) => void): void {
    const ring = this.#live[index % Math.max(1, this.#live.length)];
    if (ring !== undefined) work(ring);
  }

  #describe(table: number, entries: number, index: number, part: Part): void {
    const at = table + (index % entries) * DESC_BYTES;
    const { address, length } = this.#place(part);
    const next = part.next < 0 ? (index + 1) % entries : part.next & 0xffff;
    const bytes = descriptorBytes({ at: address, length, flags: part.flags & 0xffff, next });
    this.#stand.ram.write(at, bytes);
  }

  /** In a strict case, only where the device may write what the flags let it write. */
  #place({ area, offset, length, flags }: Part): { address: number | bigint; length: number } {
    if (area === "wild") {
      // At least 9 bytes: from 8 bytes in front of the end of RAM, that is too many.
      const place = this.#wild[offset % this.#wild.length] ?? 0;
      return { address: BigInt(place), length: Math.max(9, length) };
    }
    const isTable = (flags & VRING_DESC_F_INDIRECT) !== 0;
    const isWrite = (flags & VRING_DESC_F_WRITE) !== 0;
    const allowed = !this.#strict ? area : isTable ? "tables" : isWrite ? "writable" : area;
    if (allowed === "tables") {
      return { address: this.#tables + (offset % 4) * TABLE_BYTES, length: Math.min(length, 112) };
    }
    const base = allowed === "writable" ? this.#writable : this.#readable;
    const from = offset % AREA_BYTES;
    const room = AREA_BYTES - from;
    // Longer than all of RAM is a fault; anything between would be other people's RAM.
    const fits = length <= room || length > this.#stand.ram.lowEnd;
    return { address: base + from, length: fits ? length : room };
  }

  #request(step: Step & { do: "request" }): void {
    const { specimen } = this.#stand;
    const index = step.queue < 0 ? specimen.queue : step.queue;
    this.#withRing(index, (ring) => {
      const { readable, writable } = specimen.request(step.seed);
      const bytes = readable.slice();
      for (const [offset, value] of step.changes) {
        if (bytes.length > 0) bytes[offset % bytes.length] = value;
      }
      this.#submit(ring, bytes, step.room < 0 ? writable : step.room, step);
    });
  }

  /** Lays a request out in the areas, cut into pieces, and publishes it. */
  #submit(
    ring: Ring,
    bytes: Uint8Array,
    writable: number,
    { pieces: count, indirect }: { readonly pieces: number; readonly indirect: boolean },
  ): void {
    const { ram } = this.#stand;
    if (this.#fill + bytes.length > AREA_BYTES) this.#fill = 0;
    const at = this.#readable + this.#fill;
    this.#fill += bytes.length;
    ram.write(at, bytes);
    const room = Math.min(writable, AREA_BYTES);
    const pieces = [
      ...cut(at, bytes.length, count, 0),
      ...cut(this.#writable, room, count, VRING_DESC_F_WRITE),
    ].slice(0, indirect ? TABLE_BYTES / DESC_BYTES : ring.size);
    if (pieces.length === 0) return;
    const first = ring.availIdx % ring.size;
    pieces.forEach((piece, i) => {
      const slot = indirect ? i : (first + i) % ring.size;
      const isLast = i + 1 === pieces.length;
      const next = isLast ? 0 : indirect ? i + 1 : (first + i + 1) % ring.size;
      const flags = piece.flags | (isLast ? 0 : VRING_DESC_F_NEXT);
      const table = indirect ? this.#tables : ring.desc;
      ram.write(table + slot * DESC_BYTES, descriptorBytes({ ...piece, flags, next }));
    });
    if (indirect) {
      const length = pieces.length * DESC_BYTES;
      const pointer = { at: this.#tables, length, flags: VRING_DESC_F_INDIRECT };
      ram.write(ring.desc + first * DESC_BYTES, descriptorBytes(pointer));
    }
    this.#publish(ring, first);
  }

  #publish(ring: Ring, head: number): void {
    const slot = ring.avail + 4 + 2 * (ring.availIdx % ring.size);
    this.#stand.ram.write(slot, concat(littleEndian(head, 2)));
    this.#setAvailIdx(ring, ring.availIdx + 1);
    ring.published++;
  }

  /** INV-6: no more chains come back than were published. */
  checkUsed(): void {
    if (!this.#strict) return;
    for (const [index, ring] of this.#live.entries()) {
      const used = this.#stand.ram.u16(ring.used + 2);
      if (used <= ring.published) continue;
      throw new Error(`queue ${index}: ${used} chains came back, ${ring.published} were published`);
    }
  }

  #setAvailIdx(ring: Ring, value: number): void {
    ring.availIdx = value & 0xffff;
    this.#stand.ram.set(ring.avail + 2, 2, ring.availIdx);
  }
}

function cut(at: number, length: number, pieces: number, flags: number) {
  const each = Math.max(1, Math.ceil(length / pieces));
  return Array.from({ length: Math.ceil(length / each) }, (_, i) => ({
    at: at + i * each,
    length: Math.min(each, length - i * each),
    flags,
  }));
}

/** What went wrong, and with which step. */
export interface Finding {
  /** Index into the steps; as many as there are for what was found at the end. */
  readonly step: number;
  readonly message: string;
  readonly stack: string;
  readonly isHang: boolean;
}

/** How often a step must be slow before that is the device's doing, and not that of a busy host or a collector. */
const SLOW_TIMES = 4;

/** undefined: nothing. `rows`: where its device is found. */
export function runCase(tested: FuzzCase, rows = DEVICES): Finding | undefined {
  let found = runOnce(tested, rows);
  for (let times = 1; found?.isHang === true && times < SLOW_TIMES; times++) {
    found = runOnce(tested, rows);
  }
  return found;
}

function runOnce(
  { device, strict, steps }: FuzzCase,
  rows: readonly DeviceRow[],
): Finding | undefined {
  const row = rows.find(({ name }) => name === device);
  if (row === undefined) throw new RangeError(`There is no device "${device}"`);
  const run = new FuzzRun(row, strict);
  let at = 0;
  try {
    for (; at < steps.length; at++) {
      const step = steps[at];
      const before = performance.now();
      if (step !== undefined) run.step(step);
      run.checkUsed();
      const took = performance.now() - before;
      if (took > HANG_MS) {
        const slow = new Error(`a hang: more than ${HANG_MS} ms`);
        return { ...finding(at, slow), isHang: true };
      }
    }
    run.finish();
    return undefined;
  } catch (error) {
    return finding(at, error);
  }
}

function finding(step: number, error: unknown): Finding {
  const { message, stack = "" } = error instanceof Error ? error : new Error(String(error));
  return { step, message, stack, isHang: false };
}
