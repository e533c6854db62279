/**
 * The one SharedArrayBuffer of a machine: everything its threads share besides guest RAM and the kvm_run
 * pages. Each word's owner is said where it is defined; all are accessed by Atomics only.
 */
import { BYTE_RING_WORDS, ByteRing } from "./byte_ring.ts";
import { COUNTER_WORDS, DeviceCounters } from "./device_counters.ts";
import { MIRROR_WORDS, RegisterMirror } from "./register_mirror.ts";

// Words of the whole machine.
/** Requests of the control thread to the I/O thread (IO_* bits): or-ed in by it, taken whole by the I/O loop. */
export const IO_REQUEST = 0;
/** Window size, columns << 16 | rows: written by control before IO_RESIZE. */
export const WINDOW_SIZE = 1;
/**
 * Not 0 once the machine stops: written by control, or by an I/O thread that fails; read by threads before they sleep on
 * something.
 */
export const STOPPING = 2;
/**
 * 1 while the I/O thread is going to look at the mailboxes before it sleeps. It stores 0 and then looks once more;
 * a vCPU asks, then exchanges it for 1, and wakes the thread if it was 0. In the one order of all Atomics either the
 * thread's look sees the request, or the exchange sees 0, or it sees the 1 of another vCPU whose wake-up is under way.
 */
export const IO_LOOKS = 3;
/** A bit for each virtio device whose cable is out: written by control before IO_LINKS. */
export const LINKS_DOWN = 4;
/** A bit for each device that is to announce itself: or-ed in by control before IO_LINKS, taken whole by the I/O loop. */
export const ANNOUNCE = 5;
/**
 * How many messages workers have posted to a control thread that runs a guest itself: added to by each before it posts.
 * Control compares it with what it has received.
 */
export const REPORTS = 6;
const MACHINE_WORDS = 8;

export const IO_STOP = 1;
export const IO_RESIZE = 2;
export const IO_LINKS = 4;

// Words of one vCPU.
/**
 * Requests of the control thread (VCPU_* bits): set and cleared by it alone, set before the kick. The vCPU looks
 * after every kick, and sleeps on this word while it is parked.
 */
export const VCPU_REQUEST = 0;
/** Mailbox (mailbox.ts, which says who owns it when): state, then window, offset, access, value. */
export const VCPU_MAILBOX = 1;
/** Exits to this process, by kind, modulo 2**32; written by the vCPU thread only, at each exit. */
export const VCPU_EXITS_MMIO = 8;
export const VCPU_EXITS_PIO = 9;
export const VCPU_EXITS_OTHER = 10;
/**
 * 1 while the vCPU is parked; written by the vCPU thread only. It stores 1 after it saw VCPU_PAUSE, and after it
 * stored 0 it looks at the request again before it enters the guest. So when control, having set VCPU_PAUSE, loads 1
 * here, the vCPU is out of the guest and stays out until the bit is cleared.
 */
export const VCPU_PARKED = 11;
const VCPU_WORDS = 16;

/** Leave the run loop for good. */
export const VCPU_STOP = 1;
/** Stay out of the guest until this is cleared, or VCPU_STOP set. */
export const VCPU_PAUSE = 2;

// Words of the serial port (devices/legacy/serial.ts).
const SERIAL_WORDS = 32;
const SERIAL_TX_BYTES = 16384;
const SERIAL_RX_BYTES = 1024;

/** Of one virtio device. */
const DEVICE_WORDS = 1 + MIRROR_WORDS + COUNTER_WORDS;

/** How many of what; plain data, so every thread computes the same layout. */
export interface ControlBlockShape {
  readonly vcpus: number;
  /** virtio devices, each with one interrupt status word, a register mirror and its counts. */
  readonly devices: number;
}

/** One thread's view of the block. */
export class ControlBlock {
  readonly words: Int32Array;
  readonly serialTransmit: ByteRing;
  readonly serialReceive: ByteRing;
  readonly #shape: ControlBlockShape;

  constructor(readonly buffer: SharedArrayBuffer, shape: ControlBlockShape) {
    this.#shape = shape;
    this.words = new Int32Array(buffer, 0, wordCount(shape));
    const rings = wordCount(shape) - 2 * BYTE_RING_WORDS;
    const bytes = wordCount(shape) * 4;
    this.serialTransmit = new ByteRing(
      this.words,
      rings,
      new Uint8Array(buffer, bytes, SERIAL_TX_BYTES),
    );
    this.serialReceive = new ByteRing(
      this.words,
      rings + BYTE_RING_WORDS,
      new Uint8Array(buffer, bytes + SERIAL_TX_BYTES, SERIAL_RX_BYTES),
    );
  }

  /** A fresh block, all zeroes. */
  static create(shape: ControlBlockShape): ControlBlock {
    const bytes = wordCount(shape) * 4 + SERIAL_TX_BYTES + SERIAL_RX_BYTES;
    return new ControlBlock(new SharedArrayBuffer(bytes), shape);
  }

  /** Index of vCPU `id`'s word `word`. */
  vcpu(id: number, word: number): number {
    return MACHINE_WORDS + id * VCPU_WORDS + word;
  }

  /** Index of virtio device `index`'s interrupt status. */
  interruptStatus(index: number): number {
    return MACHINE_WORDS + this.#shape.vcpus * VCPU_WORDS + index;
  }

  /** The mirror of virtio device `index`'s registers: written by the I/O thread only. */
  mirror(index: number): RegisterMirror {
    const { vcpus, devices } = this.#shape;
    const first = MACHINE_WORDS + vcpus * VCPU_WORDS + devices;
    return new RegisterMirror(this.words, first + index * MIRROR_WORDS);
  }

  /** What virtio device `index` has counted: written by the I/O thread only. */
  counters(index: number): DeviceCounters {
    const { vcpus, devices } = this.#shape;
    const first = MACHINE_WORDS + vcpus * VCPU_WORDS + devices * (1 + MIRROR_WORDS);
    return new DeviceCounters(this.words, first + index * COUNTER_WORDS);
  }

  /** Index of the first of the serial port's words. */
  get serial(): number {
    const { vcpus, devices } = this.#shape;
    return MACHINE_WORDS + vcpus * VCPU_WORDS + devices * DEVICE_WORDS;
  }

  get stopping(): boolean {
    return Atomics.load(this.words, STOPPING) !== 0;
  }
}

function wordCount(shape: ControlBlockShape): number {
  return MACHINE_WORDS + shape.vcpus * VCPU_WORDS + shape.devices * DEVICE_WORDS +
    SERIAL_WORDS + 2 * BYTE_RING_WORDS;
}
