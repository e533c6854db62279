/**
 * The driver's half of a case: what its steps come to in registers and RAM, whatever device is behind the registers and
 * wherever the driver runs. Used by `fuzz_run.ts`, with the device beside it.
 */
import {
  VIRTIO_MMIO_QUEUE_AVAIL_LOW,
  VIRTIO_MMIO_QUEUE_DESC_LOW,
  VIRTIO_MMIO_QUEUE_NOTIFY,
  VIRTIO_MMIO_QUEUE_NUM,
  VIRTIO_MMIO_QUEUE_READY,
  VIRTIO_MMIO_QUEUE_SEL,
  VIRTIO_MMIO_QUEUE_USED_LOW,
  VIRTIO_MMIO_STATUS,
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
} from "../../src/abi/virtio.ts";
import { DESC_BYTES, descriptorBytes, type Placement } from "../support/driver_queue.ts";
import { littleEndian, type Where } from "../support/guest_ram.ts";
import { RUNNING } from "../support/mock_driver.ts";
import type { Specimen } from "../support/test_stand.ts";
import { Random } from "./random.ts";
import type { Part, Step } from "./steps.ts";
import { strayRequest } from "./stray_requests.ts";

const AREA_BYTES = 0x5000;
const TABLES_BYTES = 0x1000;
const TABLE_BYTES = 96;
const MAX_QUEUES = 8;
const MAX_SIZE = 256;

/** RAM as a driver writes it. */
export interface DriverRam {
  allocate(length: number, align: number, where?: Where): number;
  /** Lets the device write there. */
  allow(at: number, length: number): void;
  write(at: number, bytes: Uint8Array): void;
  set(at: number, size: 2 | 4 | 8, value: number | bigint): void;
  fill(at: number, length: number, value: number): void;
}

/** What a driver has: RAM, and the registers of one device. */
export interface FuzzTarget {
  readonly ram: DriverRam;
  /** Where 9 bytes are never all RAM. */
  readonly wild: readonly number[];
  /** Anything longer is not RAM, wherever it starts. */
  readonly ramBytes: number;
  write(offset: number, value: number, size: 1 | 2 | 4): void;
  read(offset: number, size: 1 | 2 | 4): void;
  /** From reset to FEATURES_OK with `mask` of the lowest word of the offer; false: the reset takes its time. */
  negotiate(mask: number): boolean;
  /** 0: no such queue. */
  queueMaxSize(index: number): number;
}

/** A queue that is up. */
export interface FuzzRing extends Placement {
  readonly availIdx: number;
  /** Chains published since the queue was set up; Infinity once the index has jumped. */
  readonly published: number;
}

interface Ring extends Placement {
  availIdx: number;
  published: number;
}

/** Steps that are for the host's side of a device. */
type HostStep = "turn" | "settle" | "advance" | "stall" | "release" | "config" | "meddle";

/** Which device is driven, and how. */
export interface FuzzDriverOptions {
  /** A row of `tests/conformance/devices.ts`. */
  readonly name: string;
  /** See `FuzzCase`. */
  readonly strict: boolean;
  /** Where honest requests come from, and the queue they are for. */
  readonly specimen: Pick<Specimen, "queue" | "request">;
}

export class FuzzDriver {
  readonly #target: FuzzTarget;
  readonly #options: FuzzDriverOptions;
  readonly #readable: number;
  readonly #writable: number;
  readonly #tables: number;
  readonly #rings: { readonly low: Ring[]; readonly high: Ring[] };
  #live: Ring[] = [];
  /** Where the next payload goes in the readable area. */
  #fill = 0;

  constructor(target: FuzzTarget, options: FuzzDriverOptions) {
    this.#target = target;
    this.#options = options;
    const { ram } = target;
    this.#readable = ram.allocate(AREA_BYTES, 16);
    ram.write(this.#readable, Uint8Array.from({ length: AREA_BYTES }, (_, i) => i * 7 + (i >> 8)));
    this.#writable = ram.allocate(AREA_BYTES, 16);
    ram.allow(this.#writable, AREA_BYTES);
    this.#tables = ram.allocate(TABLES_BYTES, 16);
    ram.fill(this.#tables, TABLES_BYTES, 0);
    this.#rings = { low: [], high: [] };
  }

  /** Of the last `up`. */
  get rings(): readonly FuzzRing[] {
    return this.#live;
  }

  step(step: Exclude<Step, { readonly do: HostStep }>): void {
    const target = this.#target;
    const { ram } = target;
    switch (step.do) {
      case "up":
        return this.#bringUp(step);
      case "status":
        return target.write(VIRTIO_MMIO_STATUS, step.value, 4);
      case "write":
        return target.write(step.offset, step.value, step.size);
      case "read":
        return target.read(step.offset, step.size);
      case "request":
        return this.#request(step);
      case "stray": {
        const stray = strayRequest(this.#options.name, new Random(step.value));
        if (stray === undefined) return;
        this.#withRing(
          stray.queue,
          (ring) => this.#submit(ring, stray.readable, stray.writable, step),
        );
        // Its own queue, or nothing would come of it.
        return this.#kick(stray.queue % Math.max(1, this.#live.length));
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
          ram.write(base + step.offset % bytes, Uint8Array.of(step.value));
        });
      case "avail":
        return this.#withRing(step.queue, (ring) => {
          this.#setAvailIdx(ring, ring.availIdx + step.delta);
          ring.published = Infinity;
        });
      case "event":
        return this.#withRing(step.queue, (ring) => {
          ram.set(ring.avail + 4 + 2 * ring.size, 2, step.value);
          ram.set(ring.avail, 2, step.value & 3);
        });
      case "kick":
        return this.#kick(step.queue);
    }
  }

  #kick(queue: number): void {
    this.#target.write(VIRTIO_MMIO_QUEUE_NOTIFY, queue, 4);
  }

  #bringUp({ mask, size, high }: Step & { do: "up" }): void {
    const target = this.#target;
    const { ram } = target;
    if (!target.negotiate(mask)) return;
    this.#live = [];
    for (let index = 0; index < MAX_QUEUES; index++) {
      const max = target.queueMaxSize(index);
      if (max === 0) break;
      const ring = this.#ring(index, high);
      Object.assign(ring, { size: Math.min(size, max), availIdx: 0, published: 0 });
      ram.fill(ring.desc, DESC_BYTES * MAX_SIZE, 0);
      ram.fill(ring.avail, 6 + 2 * MAX_SIZE, 0);
      ram.fill(ring.used, 6 + 8 * MAX_SIZE, 0);
      this.#enable(index, ring);
      this.#live.push(ring);
    }
    target.write(VIRTIO_MMIO_STATUS, RUNNING, 4);
  }

  #enable(index: number, ring: Ring): void {
    const target = this.#target;
    target.write(VIRTIO_MMIO_QUEUE_SEL, index, 4);
    target.write(VIRTIO_MMIO_QUEUE_NUM, ring.size, 4);
    this.#setAddress(VIRTIO_MMIO_QUEUE_DESC_LOW, ring.desc);
    this.#setAddress(VIRTIO_MMIO_QUEUE_AVAIL_LOW, ring.avail);
    this.#setAddress(VIRTIO_MMIO_QUEUE_USED_LOW, ring.used);
    target.write(VIRTIO_MMIO_QUEUE_READY, 1, 4);
  }

  #setAddress(offset: number, address: number): void {
    this.#target.write(offset, address >>> 0, 4);
    this.#target.write(offset + 4, Math.floor(address / 2 ** 32), 4);
  }

  /** Rings with room for the largest size, used again by the next `up`. */
  #ring(index: number, high: boolean): Ring {
    const rings = high ? this.#rings.high : this.#rings.low;
    const where = high ? "high" : "low";
    const { ram } = this.#target;
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
    this.#target.ram.write(at, bytes);
  }

  /** In a strict case, only where the device may write what the flags let it write. */
  #place({ area, offset, length, flags }: Part): { address: number | bigint; length: number } {
    const { wild } = this.#target;
    if (area === "wild") {
      // At least 9 bytes: from 8 bytes in front of the end of RAM, that is too many.
      const place = wild[offset % wild.length] ?? 0;
      return { address: BigInt(place), length: Math.max(9, length) };
    }
    const isTable = (flags & VRING_DESC_F_INDIRECT) !== 0;
    const isWrite = (flags & VRING_DESC_F_WRITE) !== 0;
    const allowed = !this.#options.strict ? area : isTable ? "tables" : isWrite ? "writable" : area;
    if (allowed === "tables") {
      return { address: this.#tables + (offset % 4) * TABLE_BYTES, length: Math.min(length, 112) };
    }
    const base = allowed === "writable" ? this.#writable : this.#readable;
    const from = offset % AREA_BYTES;
    const room = AREA_BYTES - from;
    // Longer than all of RAM is a fault; anything between would be other people's RAM.
    const fits = length <= room || length > this.#target.ramBytes;
    return { address: base + from, length: fits ? length : room };
  }

  #request(step: Step & { do: "request" }): void {
    const { specimen } = this.#options;
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
    const { ram } = this.#target;
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
    this.#target.ram.write(slot, littleEndian(head, 2));
    this.#setAvailIdx(ring, ring.availIdx + 1);
    ring.published++;
  }

  #setAvailIdx(ring: Ring, value: number): void {
    ring.availIdx = value & 0xffff;
    this.#target.ram.set(ring.avail + 2, 2, ring.availIdx);
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
