/**
 * Writes flattened device trees (Devicetree Specification v0.4, chapter 5). Big-endian throughout. Called by the
 * device tree renderers of each architecture.
 */

export const FDT_MAGIC = 0xd00d_feed;
const FDT_VERSION = 17;
/** The oldest version a version-17 blob can be read as (5.2). */
const FDT_LAST_COMPATIBLE_VERSION = 16;
const FDT_BEGIN_NODE = 1;
const FDT_END_NODE = 2;
const FDT_PROP = 3;
const FDT_END = 9;
const HEADER_SIZE = 40;
const RESERVE_ENTRY_SIZE = 16;
/** 2.2.1: what a node name is made of; a unit address follows `@`. The root's name is empty. */
const NODE_NAME = /^[0-9A-Za-z,._+-]{1,31}(@[0-9A-Za-z,._+-]+)?$/;
/** 2.2.4: what a property name is made of. */
const PROPERTY_NAME = /^[0-9A-Za-z,._+?#-]{1,31}$/;

/** Memory the guest must leave alone (5.3), in bytes. */
export interface FdtReservation {
  readonly base: number;
  readonly size: number;
}

/**
 * A tree is written top down: `beginNode("")`, the root's properties, children, `endNode()`, `finish()`. Breaking
 * that order, or a name the specification does not allow, throws `TypeError`: it is a bug of the caller.
 */
export class FdtWriter {
  readonly #structure = new ByteList();
  readonly #strings = new ByteList();
  readonly #stringOffsets = new Map<string, number>();
  /** For each open node, whether it has a child already: properties come before children (5.4.2). */
  readonly #open: boolean[] = [];
  #finished = false;

  /** Opens a node: `""` for the root, then names such as `cpu@0`. */
  beginNode(name: string): void {
    const isRoot = this.#open.length === 0;
    if (isRoot && (name !== "" || this.#finished || this.#structure.length > 0)) {
      throw new TypeError(`Node '${name}' cannot stand beside the root`);
    }
    if (!isRoot && !NODE_NAME.test(name)) throw new TypeError(`Node name '${name}' is not allowed`);
    if (!isRoot) this.#open[this.#open.length - 1] = true;
    this.#open.push(false);
    this.#structure.u32(FDT_BEGIN_NODE);
    this.#structure.text(name);
    this.#structure.align();
  }

  endNode(): void {
    if (this.#open.pop() === undefined) throw new TypeError("No node is open");
    this.#structure.u32(FDT_END_NODE);
  }

  /** A property whose presence is its value. */
  flag(name: string): void {
    this.bytes(name, new Uint8Array(0));
  }

  /** One or more 32-bit cells. */
  cells(name: string, ...values: number[]): void {
    const list = new ByteList();
    for (const value of values) list.u32(value);
    this.bytes(name, list.take());
  }

  /** One or more 64-bit numbers below 2**53, two cells each. */
  wideCells(name: string, ...values: number[]): void {
    const list = new ByteList();
    for (const value of values) list.u64(value);
    this.bytes(name, list.take());
  }

  /** One or more strings. */
  strings(name: string, ...values: string[]): void {
    const list = new ByteList();
    for (const value of values) list.text(value);
    this.bytes(name, list.take());
  }

  /** Raw bytes. */
  bytes(name: string, value: Uint8Array): void {
    if (this.#open.length === 0) throw new TypeError(`Property '${name}' is outside of any node`);
    if (this.#open[this.#open.length - 1] === true) {
      throw new TypeError(`Property '${name}' comes after a child node`);
    }
    if (!PROPERTY_NAME.test(name)) throw new TypeError(`Property name '${name}' is not allowed`);
    this.#structure.u32(FDT_PROP);
    this.#structure.u32(value.length);
    this.#structure.u32(this.#stringOffset(name));
    this.#structure.bytes(value);
    this.#structure.align();
  }

  /** The whole blob. `bootCpu` is the physical id of the boot processor. */
  finish(reservations: readonly FdtReservation[] = [], bootCpu = 0): Uint8Array<ArrayBuffer> {
    if (this.#open.length > 0) throw new TypeError(`${this.#open.length} nodes are still open`);
    if (this.#finished || this.#structure.length === 0) {
      throw new TypeError("There is no tree to finish");
    }
    this.#finished = true;
    this.#structure.u32(FDT_END);
    const reserveOffset = HEADER_SIZE; // aligned to 8, as 5.1 asks
    const structureOffset = reserveOffset + (reservations.length + 1) * RESERVE_ENTRY_SIZE;
    const stringsOffset = structureOffset + this.#structure.length;
    const blob = new ByteList();
    blob.u32(FDT_MAGIC);
    blob.u32(stringsOffset + this.#strings.length);
    blob.u32(structureOffset);
    blob.u32(stringsOffset);
    blob.u32(reserveOffset);
    blob.u32(FDT_VERSION);
    blob.u32(FDT_LAST_COMPATIBLE_VERSION);
    blob.u32(bootCpu);
    blob.u32(this.#strings.length);
    blob.u32(this.#structure.length);
    for (const { base, size } of [...reservations, { base: 0, size: 0 }]) {
      blob.u64(base);
      blob.u64(size);
    }
    blob.bytes(this.#structure.take());
    blob.bytes(this.#strings.take());
    return blob.take();
  }

  #stringOffset(name: string): number {
    const known = this.#stringOffsets.get(name);
    if (known !== undefined) return known;
    const offset = this.#strings.length;
    this.#strings.text(name);
    this.#stringOffsets.set(name, offset);
    return offset;
  }
}

/** A growing list of big-endian bytes: trees are a few KiB and are written once. */
class ByteList {
  readonly #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  u32(value: number): void {
    this.#bytes.push(
      (value >>> 24) & 0xff,
      (value >>> 16) & 0xff,
      (value >>> 8) & 0xff,
      value & 0xff,
    );
  }

  u64(value: number): void {
    this.u32(Math.floor(value / 0x1_0000_0000));
    this.u32(value % 0x1_0000_0000);
  }

  /** UTF-8 with a final NUL. */
  text(value: string): void {
    if (value.includes("\0")) {
      throw new TypeError("A device tree string cannot hold a NUL character");
    }
    this.bytes(new TextEncoder().encode(value));
    this.#bytes.push(0);
  }

  bytes(value: Uint8Array): void {
    for (const byte of value) this.#bytes.push(byte);
  }

  /** Pads with zeros to a multiple of 4 (5.4). */
  align(): void {
    while (this.#bytes.length % 4 !== 0) this.#bytes.push(0);
  }

  take(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#bytes);
  }
}
