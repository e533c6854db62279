/**
 * The bus as one vCPU thread sees it: finds the window of an access and serves it here (legacy devices, the
 * interrupt registers and what is mirrored of virtio) or has the I/O thread do it (writes to virtio, other reads).
 */
import { VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INTERRUPT_STATUS } from "../abi/virtio.ts";
import type { MailboxCaller } from "../ipc/mailbox.ts";
import { NOT_MIRRORED, type RegisterMirror } from "../ipc/register_mirror.ts";
import type { MmioInterrupt } from "../../transports/mmio_interrupt.ts";
import type { Window } from "./windows.ts";

/** A device whose registers are bytes. */
export interface ByteRegisters {
  read(offset: number): number;
  write(offset: number, value: number): void;
}

/** What serves the windows. */
export interface BusParts {
  /** By window kind. */
  readonly legacy: ReadonlyMap<Window["kind"], ByteRegisters>;
  /** By virtio device index. */
  readonly interrupts: readonly MmioInterrupt[];
  /** By virtio device index. */
  readonly mirrors: readonly RegisterMirror[];
  readonly mailbox: MailboxCaller;
}

/** What reading nothing gives: no device pulls the lines down. */
const FLOATING = 0xff;

/** One window and what is behind it. */
abstract class Place {
  constructor(readonly base: number, readonly end: number) {}
  abstract read(offset: number, size: number): number;
  abstract write(offset: number, size: number, value: number): void;
}

class LegacyPlace extends Place {
  readonly #registers: ByteRegisters;

  constructor(window: Window, registers: ByteRegisters) {
    super(window.base, window.base + window.size);
    this.#registers = registers;
  }

  read(offset: number, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) {
      const inside = this.base + offset + i < this.end;
      value = (value << 8) | (inside ? this.#registers.read(offset + i) : FLOATING);
    }
    return value >>> 0;
  }

  write(offset: number, size: number, value: number): void {
    for (let i = 0; i < size && this.base + offset + i < this.end; i++) {
      this.#registers.write(offset + i, (value >>> (8 * i)) & 0xff);
    }
  }
}

class VirtioMmioPlace extends Place {
  readonly #device: number;
  readonly #interrupt: MmioInterrupt;
  readonly #mirror: RegisterMirror;
  readonly #mailbox: MailboxCaller;

  constructor(
    window: Window,
    device: number,
    interrupt: MmioInterrupt,
    mirror: RegisterMirror,
    mailbox: MailboxCaller,
  ) {
    super(window.base, window.base + window.size);
    this.#device = device;
    this.#interrupt = interrupt;
    this.#mirror = mirror;
    this.#mailbox = mailbox;
  }

  read(offset: number, size: number): number {
    if (offset === VIRTIO_MMIO_INTERRUPT_STATUS && size === 4) return this.#interrupt.status();
    const value = this.#mirror.read(offset, size);
    return value === NOT_MIRRORED ? this.#mailbox.read(this.#device, offset, size) : value;
  }

  write(offset: number, size: number, value: number): void {
    if (offset === VIRTIO_MMIO_INTERRUPT_ACK && size === 4) this.#interrupt.acknowledge(value);
    else this.#mailbox.write(this.#device, offset, size, value);
  }
}

/** One address space of the bus. */
export class Bus {
  readonly #places: readonly Place[];

  constructor(space: "mmio" | "pio", windows: readonly Window[], parts: BusParts) {
    this.#places = windows.filter((window) => window.space === space)
      .map((window) => placeOf(window, parts)).filter((place) => place !== undefined);
  }

  /** 1, 2 or 4 bytes at `address`. */
  read(address: number, size: number): number {
    const place = this.#find(address);
    if (place === undefined) return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : FLOATING;
    return place.read(address - place.base, size);
  }

  write(address: number, size: number, value: number): void {
    const place = this.#find(address);
    if (place !== undefined) place.write(address - place.base, size, value);
  }

  #find(address: number): Place | undefined {
    const places = this.#places;
    for (let i = 0; i < places.length; i++) {
      const place = places[i] as Place;
      if (address >= place.base && address < place.end) return place;
    }
    return undefined;
  }
}

function placeOf(window: Window, parts: BusParts): Place | undefined {
  if (window.device !== undefined) {
    const interrupt = parts.interrupts[window.device];
    const mirror = parts.mirrors[window.device];
    if (interrupt === undefined || mirror === undefined) return undefined;
    return new VirtioMmioPlace(window, window.device, interrupt, mirror, parts.mailbox);
  }
  const registers = parts.legacy.get(window.kind);
  return registers === undefined ? undefined : new LegacyPlace(window, registers);
}
