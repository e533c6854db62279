/**
 * A virtqueue while the driver programs it (spec 4.2.2 queue registers): plain numbers, nothing trusted.
 * `activate` checks everything once and makes the queue that runs. Used by `DeviceState`.
 */
import { VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC } from "../abi/virtio.ts";
import { gpa, type GuestMemory } from "../memory/guest_memory.ts";
import { DriverFault } from "./faults.ts";
import { SplitQueue } from "./split_queue.ts";
import type { Interrupt } from "./device.ts";

/** A 64-bit register written in halves; kept as halves, since hostile values exceed 2**53. */
export class AddressRegister {
  low = 0;
  high = 0;

  /** The address, or undefined when it is at or above 2**53: no machine has RAM there. */
  get value(): number | undefined {
    return this.high >= 0x20_0000 ? undefined : this.high * 0x1_0000_0000 + this.low;
  }

  clear(): void {
    this.low = 0;
    this.high = 0;
  }
}

/** What the driver has said about one queue. */
export class QueueConfig {
  #size: number;
  #ready = false;
  /** Descriptor area, driver area (avail) and device area (used), spec 2.7. */
  readonly desc: AddressRegister = new AddressRegister();
  readonly avail: AddressRegister = new AddressRegister();
  readonly used: AddressRegister = new AddressRegister();

  constructor(readonly index: number, readonly maxSize: number) {
    this.#size = maxSize; // MMIO-15: a driver that never writes QueueSize gets the maximum
  }

  get size(): number {
    return this.#size;
  }

  /** Ignored while ready (MMIO-19), and unless a power of two up to the maximum (MMIO-14, HD-38). */
  set size(value: number) {
    if (this.#ready || value === 0 || value > this.maxSize || (value & (value - 1)) !== 0) return;
    this.#size = value;
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** Writes one half of an address; ignored while ready (HD-40). */
  setAddress(part: "desc" | "avail" | "used", half: "low" | "high", value: number): void {
    if (!this.#ready) this[part][half] = value >>> 0;
  }

  /**
   * Marks the queue ready and makes it. Throws DriverFault when a part is misaligned, or not whole inside one
   * piece of RAM (VQ-SPLIT-04): refused here, not when first used.
   */
  activate(memory: GuestMemory, interrupt: Interrupt, features: bigint): SplitQueue {
    const size = this.#size;
    const queue = new SplitQueue(memory, interrupt, {
      index: this.index,
      size,
      desc: this.#part(memory, "desc", this.desc, 16 * size, 16),
      avail: this.#part(memory, "avail", this.avail, 6 + 2 * size, 2),
      used: this.#part(memory, "used", this.used, 6 + 8 * size, 4),
      eventIdx: (features & VIRTIO_RING_F_EVENT_IDX) !== 0n,
      indirect: (features & VIRTIO_RING_F_INDIRECT_DESC) !== 0n,
    });
    this.#ready = true;
    return queue;
  }

  #part(
    memory: GuestMemory,
    name: string,
    register: AddressRegister,
    length: number,
    align: number,
  ) {
    const at = register.value;
    if (at === undefined || at % align !== 0 || !memory.contains(at, length)) {
      const shown = at === undefined ? "above 2**53" : `0x${at.toString(16)}`;
      throw new DriverFault(
        `Queue ${this.index}: ${name} ring at ${shown} is not ${length} bytes of RAM aligned to ${align}`,
      );
    }
    return gpa(at);
  }

  /** Not ready any more; the registers keep what was written. */
  stop(): void {
    this.#ready = false;
  }

  /** Back to power-on values (BF-RESET-04). */
  reset(): void {
    this.#ready = false;
    this.#size = this.maxSize;
    this.desc.clear();
    this.avail.clear();
    this.used.clear();
  }
}
