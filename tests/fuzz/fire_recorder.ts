/** Writes down what the driver of a case does, for the tiny guest to do it to a real device. Used by `volley.ts`. */
import { VIRTIO_MMIO_QUEUE_NOTIFY } from "../../src/abi/virtio.ts";
import { DEVICES } from "../conformance/devices.ts";
import { GuestRam, HIGH_BASE, littleEndian, POISON, type Where } from "../support/guest_ram.ts";
import type { Specimen } from "../support/test_stand.ts";
import type { FireProgram } from "./fire_program.ts";
import { type DriverRam, FuzzDriver, type FuzzRing, type FuzzTarget } from "./fuzz_driver.ts";
import { Random } from "./random.ts";
import type { Step } from "./steps.ts";

/** RAM that a case has for itself: as much as `GuestRam` has. */
export const LOW_ARENA_BYTES = 0x8_0000;
export const HIGH_ARENA_BYTES = 0x4_0000;
/** An address in it with its highest byte lost is not the guest's own RAM. */
const ARENAS_FROM = 0x280_0000;
/** What the tiny guest needs itself, and some bytes in front of that: what a case makes up does not lead there. */
const GUEST_RAM = { from: 0xf_0000, to: 0x80_0000 } as const;
/** First address that the guest may not need. */
export const GUEST_END: number = GUEST_RAM.to;
/** Cycles that stand for a turn of the device's loop, and for it coming to rest. */
const TURN_CYCLES = 20_000;
const REST_CYCLES = 200_000;
const RING_ADDRESSES = { from: 0x80, to: 0xa8 };

/** The machine that a case is for. */
export interface FireRange {
  /** First address behind RAM below 4 GiB. */
  readonly lowEnd: number;
  /** First address behind all RAM. */
  readonly highEnd: number;
}

/** A device of that machine. */
export interface FireDevice {
  /** Its place among the machine's devices. */
  readonly index: number;
  /** A row of `tests/conformance/devices.ts` that has the same queues and understands the same requests. */
  readonly row: string;
}

/** RAM of one case. What the device may not change is known. */
class ArenaRam implements DriverRam {
  readonly #ram = new GuestRam(LOW_ARENA_BYTES, HIGH_ARENA_BYTES);
  readonly #program: FireProgram;
  readonly #low: number;
  readonly #high: number;
  /** Places the driver has written, and with what. */
  readonly pokes: { readonly at: number; readonly bytes: Uint8Array }[] = [];

  constructor(program: FireProgram, low: number, high: number) {
    this.#program = program;
    this.#low = low;
    this.#high = high;
  }

  /** Poison everywhere. */
  begin(): void {
    this.#program.fill(this.#low, LOW_ARENA_BYTES, POISON);
    this.#program.fill(this.#high, HIGH_ARENA_BYTES, POISON);
  }

  #mock(at: number): number {
    return at >= this.#high ? at - this.#high + HIGH_BASE : at - this.#low;
  }

  #real(at: number): number {
    return at >= HIGH_BASE ? at - HIGH_BASE + this.#high : at + this.#low;
  }

  allocate(length: number, align: number, where?: Where): number {
    return this.#real(this.#ram.allocate(length, align, where));
  }

  allow(at: number, length: number): void {
    this.#ram.allow(this.#mock(at), length);
  }

  write(at: number, bytes: Uint8Array): void {
    this.#ram.write(this.#mock(at), bytes);
    this.#program.poke(at, bytes);
    if (bytes.length > 0) this.pokes.push({ at, bytes });
  }

  set(at: number, size: 2 | 4 | 8, value: number | bigint): void {
    this.write(at, littleEndian(value, size));
  }

  fill(at: number, length: number, value: number): void {
    this.#ram.fill(this.#mock(at), length, value);
    this.#program.fill(at, length, value);
  }

  /** INV-2: everything a device may not change is as the driver left it. */
  check(): void {
    for (const { at, bytes } of this.#ram.guarded()) this.#program.check(this.#real(at), bytes);
  }
}

/** One case on one processor. */
export class FireRecorder implements FuzzTarget {
  readonly ram: ArenaRam;
  readonly wild: readonly number[];
  readonly ramBytes: number;
  readonly #program: FireProgram;
  readonly #specimen: Specimen;
  readonly #driver: FuzzDriver;
  readonly #strict: boolean;
  readonly #random: Random;
  /** Accesses have the width they should have. */
  #isExact: boolean;

  /**
   * `program` is written to as the steps come. Cases of one `arena` have their rings at the same places; those that are
   * fired at the same time by two processors share it, or do not.
   */
  constructor(
    program: FireProgram,
    range: FireRange,
    place: { readonly device: FireDevice; readonly arena: number; readonly strict: boolean },
    random: Random,
  ) {
    const row = DEVICES.find(({ name }) => name === place.device.row);
    if (row === undefined) throw new RangeError(`There is no device "${place.device.row}"`);
    this.#program = program;
    this.#strict = place.strict;
    this.#isExact = place.strict;
    this.#random = random;
    const low = ARENAS_FROM + place.arena * 2 * (LOW_ARENA_BYTES + HIGH_ARENA_BYTES);
    const high = range.highEnd > HIGH_BASE ? low + HIGH_BASE : low + LOW_ARENA_BYTES;
    this.ram = new ArenaRam(program, low, high);
    this.ramBytes = range.lowEnd;
    this.wild = [
      ...[range.lowEnd - 8, range.lowEnd, HIGH_BASE - 8, range.highEnd - 8, range.highEnd],
      ...[0xd000_1000 + 0x1000 * place.device.index, 0xfee0_0000, 2 ** 40, 2 ** 52 - 16, 2 ** 52],
      ...[2 ** 53, 2 ** 63, 2 ** 64 - 4096],
    ];
    this.#specimen = row.make(new GuestRam());
    this.ram.begin();
    program.device(place.device.index);
    this.#driver = new FuzzDriver(this, {
      name: row.name,
      strict: place.strict,
      specimen: this.#specimen,
    });
  }

  queueMaxSize(index: number): number {
    return this.#specimen.device.queueSizes[index] ?? 0;
  }

  negotiate(mask: number): boolean {
    this.#checkUsed();
    this.#program.negotiate(mask);
    return true;
  }

  /** Now and then as wide as a processor can. */
  write(offset: number, value: number, size: 1 | 2 | 4): void {
    const isAddress = offset >= RING_ADDRESSES.from && offset < RING_ADDRESSES.to;
    const wide = !this.#isExact && size === 4 && offset % 8 === 0 && this.#random.once(8);
    this.#program.write(offset, isAddress ? besideGuest(value) : value, wide ? 8 : size);
  }

  read(offset: number, size: 1 | 2 | 4): void {
    this.#program.read(offset, size === 4 && offset % 8 === 0 && this.#random.once(8) ? 8 : size);
  }

  /** What of a step can be done from inside the VM. */
  step(step: Step): void {
    switch (step.do) {
      case "turn":
        return this.#program.pause(TURN_CYCLES);
      case "settle":
      case "advance":
        return this.#program.pause(REST_CYCLES);
      case "stall": // the host's side has a life of its own
      case "release":
      case "config":
      case "meddle":
        return;
      default:
        return this.#driver.step(step);
    }
  }

  /** INV-6: no more chains come back than were published. */
  #checkUsed(): void {
    if (!this.#strict) return;
    for (const { used, published } of this.#driver.rings) {
      if (published < 0x1_0000) this.#program.atMost(used + 2, published);
    }
  }

  /** INV-2, INV-3 and INV-6: as `FuzzRun.finish`. */
  finish(): void {
    this.#isExact = true;
    this.#checkUsed();
    this.#program.reset();
    if (this.#strict) this.ram.check();
    this.#driver.step({ do: "up", mask: 0xffff_ffff, size: 16, high: false });
    const { queue } = this.#specimen;
    const request = { queue, seed: 0, pieces: 1, indirect: false, changes: [], room: -1 } as const;
    this.#driver.step({ do: "request", ...request });
    this.write(VIRTIO_MMIO_QUEUE_NOTIFY, queue, 4);
    const ring: FuzzRing | undefined = this.#driver.rings[queue];
    if (ring !== undefined) this.#program.await(ring.used + 2, 1);
    this.#program.reset();
  }
}

/** Whether the tiny guest itself is at `address`. */
export function isGuestsOwn(address: number | bigint): boolean {
  return address >= GUEST_RAM.from && address < GUEST_RAM.to;
}

function besideGuest(address: number): number {
  return isGuestsOwn(address) ? address + 2 * GUEST_RAM.to : address;
}
