/**
 * A disk in memory for block devices. It knows two contents: what reads see, and what a power cut would leave
 * (durable); and it keeps a log, so that the order of writes and flushes can be checked.
 */
import type { BlockBackend, BlockEvents } from "../../devices/block/backend.ts";
import { assert, fail } from "../../src/std/assert.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import type { GuestRam } from "./guest_ram.ts";

const SECTOR = 512;
const EIO = 5;

/** What kind of disk. */
export interface FakeDiskSetup {
  readonly sectors?: number;
  readonly readOnly?: boolean;
  readonly logicalBlockBytes?: number;
  readonly canDiscard?: boolean;
  readonly canWriteZeroes?: boolean;
}

interface Operation {
  readonly tag: number;
  readonly name: string;
  readonly run: () => number;
}

export class FakeDisk implements BlockBackend {
  readonly sectors: number;
  readonly readOnly: boolean;
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number = 4096;
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly durable: Uint8Array<ArrayBuffer>;
  /** Operations in the order they took effect: "write 512+1024", "durable write ...", "flush". */
  readonly log: string[] = [];
  /** Started operations wait for `release`. */
  holding = false;
  /** Most bytes one read or write moves: short transfers. */
  maxTransfer = Infinity;
  /** Operations whose name starts with this fail with `errno`. */
  failing = "";
  errno = EIO;
  /** Asked for each operation that is about to end: -errno instead, or the most bytes it moves. */
  trouble: ((name: string) => number) | undefined;
  closed = false;
  readonly #ram: GuestRam;
  #events: BlockEvents | undefined;
  #asked: Operation[] = [];
  #started: Operation[] = [];

  constructor(ram: GuestRam, setup: FakeDiskSetup = {}) {
    this.#ram = ram;
    this.sectors = setup.sectors ?? 64;
    this.readOnly = setup.readOnly ?? false;
    this.logicalBlockBytes = setup.logicalBlockBytes ?? SECTOR;
    this.canDiscard = setup.canDiscard ?? true;
    this.canWriteZeroes = setup.canWriteZeroes ?? true;
    this.bytes = Uint8Array.from({ length: this.sectors * SECTOR }, (_, i) => (i >> 9) * 7 + i);
    this.durable = this.bytes.slice();
  }

  /** Operations started and not completed. */
  get inFlight(): number {
    return this.#started.length;
  }

  attach(events: BlockEvents): void {
    assert(this.#events === undefined, "attach is called once");
    this.#events = events;
  }

  read(tag: number, into: IovecList, offset: number): void {
    this.#ask(
      tag,
      `read ${offset}+${into.bytes}`,
      () => this.#move(into, (guest, at) => guest.set(this.#inside(offset + at, guest.length))),
    );
  }

  write(tag: number, from: IovecList, offset: number, durable: boolean): void {
    this.#ask(
      tag,
      `${durable ? "durable " : ""}write ${offset}+${from.bytes}`,
      () =>
        this.#move(from, (guest, at) => {
          this.#inside(offset + at, guest.length).set(guest);
          if (durable) this.durable.set(guest, offset + at);
        }),
    );
  }

  flush(tag: number): void {
    this.#ask(tag, "flush", () => {
      this.durable.set(this.bytes);
      return 0;
    });
  }

  discard(tag: number, offset: number, length: number): void {
    assert(this.canDiscard, "discard on a disk that cannot");
    this.#ask(tag, `discard ${offset}+${length}`, () => this.#wipe(offset, length));
  }

  writeZeroes(tag: number, offset: number, length: number, mayUnmap: boolean): void {
    assert(this.canWriteZeroes, "writeZeroes on a disk that cannot");
    const name = `zeroes ${offset}+${length}${mayUnmap ? " unmap" : ""}`;
    this.#ask(tag, name, () => this.#wipe(offset, length));
  }

  submit(): void {
    this.#started.push(...this.#asked.splice(0));
    if (!this.holding) this.release();
  }

  /** Completes the first `count` operations in flight, and what they start in turn. */
  release(count = Infinity): void {
    let left = Math.min(count, count === Infinity ? Infinity : this.#started.length);
    let delivered = false;
    while (this.#started.length > 0 && left > 0) {
      left--;
      this.#finish(this.#started.shift());
      delivered = true;
      this.#started.push(...this.#asked.splice(0)); // as both real backends: follow-ups start by themselves
    }
    if (delivered) this.#events?.batchEnd();
  }

  /** Completes the operation that was started last, before those that came earlier. */
  releaseLast(): void {
    this.releaseAt(this.inFlight - 1);
  }

  /** Completes one operation of those in flight, in the order they were started. */
  releaseAt(index: number): void {
    this.#finish(this.#started.splice(index, 1)[0]);
    this.#started.push(...this.#asked.splice(0));
    this.#events?.batchEnd();
  }

  close(): void {
    this.closed = true;
  }

  #ask(tag: number, name: string, run: () => number): void {
    const busy = [...this.#asked, ...this.#started].some((operation) => operation.tag === tag);
    assert(!busy, `Tag ${tag} is used for two operations at once`);
    assert(!this.readOnly || name.startsWith("read"), `${name} on a read-only disk`);
    this.#asked.push({ tag, name, run });
  }

  #finish(operation: Operation | undefined): void {
    if (operation === undefined) fail("Nothing is in flight");
    this.log.push(operation.name);
    const fails = this.failing !== "" && operation.name.startsWith(this.failing);
    const verdict = fails ? -this.errno : this.trouble?.(operation.name) ?? Infinity;
    const usual = this.maxTransfer;
    this.maxTransfer = Math.min(usual, Math.max(0, verdict));
    const result = verdict < 0 ? verdict : operation.run();
    this.maxTransfer = usual;
    this.#events?.completed(operation.tag, result);
  }

  #move(iovecs: IovecList, each: (guest: Uint8Array, at: number) => void): number {
    let done = 0;
    for (let i = 0; i < iovecs.count && done < this.maxTransfer; i++) {
      const { address, length } = iovecEntry(iovecs, i);
      const part = Math.min(length, this.maxTransfer - done);
      each(this.#ram.hostBytes(address, part), done);
      done += part;
    }
    return done;
  }

  #inside(offset: number, length: number): Uint8Array {
    assert(
      offset >= 0 && offset + length <= this.bytes.length,
      `${offset}+${length} is off the disk`,
    );
    return this.bytes.subarray(offset, offset + length);
  }

  #wipe(offset: number, length: number): number {
    this.#inside(offset, length).fill(0);
    return 0;
  }
}

/** Entry `index` as numbers. */
export function iovecEntry(
  iovecs: IovecList,
  index: number,
): { readonly address: number; readonly length: number } {
  const word = (at: number) => iovecs.words[index * 4 + at] ?? fail("No such iovec");
  return {
    address: word(0) + word(1) * 0x1_0000_0000,
    length: word(2) + word(3) * 0x1_0000_0000,
  };
}
