/**
 * Guest RAM for tests: heap memory poisoned with 0xA5, and a shadow of everything the driver wrote. What the
 * device was not allowed to change and did change shows up as a difference (INV-2 of hostile-driver.md).
 */
import { fail } from "../../src/std/assert.ts";
import {
  gpa,
  type GuestMemory,
  heapGuestMemory,
  type MemoryRegion,
} from "../../src/memory/guest_memory.ts";

export const POISON = 0xa5;
const GIB = 0x4000_0000;
/** Where the region above 4 GiB starts. */
export const HIGH_BASE: number = 4 * GIB;
/** Untouched bytes between two allocations: a device that runs over the end of a buffer hits poison. */
const GUARD_BYTES = 16;

/** Which of the two regions to allocate from. */
export type Where = "low" | "high";

interface Arena {
  readonly region: MemoryRegion;
  readonly shadow: Uint8Array;
  readonly shadow32: Uint32Array;
  /** 1 where the device may write. */
  readonly allowed: Uint8Array;
  next: number;
}

/** Two regions with a hole between them: one at 0, one at 4 GiB. */
export class GuestRam {
  readonly memory: GuestMemory;
  readonly #arenas: readonly Arena[];

  constructor(lowBytes = 0x8_0000, highBytes = 0x4_0000) {
    this.memory = heapGuestMemory([
      { base: 0, size: lowBytes },
      { base: HIGH_BASE, size: highBytes },
    ]);
    this.#arenas = this.memory.regions.map((region) => {
      region.u8.fill(POISON);
      const shadow = new Uint8Array(region.size).fill(POISON);
      return {
        region,
        shadow,
        shadow32: new Uint32Array(shadow.buffer),
        allowed: new Uint8Array(region.size),
        next: region.base + 0x1000,
      };
    });
  }

  /** First address after the low region: the start of the hole. */
  get lowEnd(): number {
    return this.#arena(0, 1).region.size;
  }

  /** First address after the high region: the end of RAM. */
  get highEnd(): number {
    const { base, size } = this.#arena(HIGH_BASE, 1).region;
    return base + size;
  }

  /** A piece of RAM nobody else got. */
  allocate(length: number, align = 1, where: Where = "low"): number {
    const arena = this.#arena(where === "low" ? 0 : HIGH_BASE, 1);
    const at = Math.ceil(arena.next / align) * align;
    if (at + length > arena.region.base + arena.region.size) fail("Test guest is out of RAM");
    arena.next = at + length + GUARD_BYTES;
    return at;
  }

  /** Writes as the driver. */
  write(at: number, bytes: Uint8Array): void {
    const { region, shadow } = this.#arena(at, bytes.length);
    region.u8.set(bytes, at - region.base);
    shadow.set(bytes, at - region.base);
  }

  /** Writes a little-endian number of 2, 4 or 8 bytes as the driver. */
  set(at: number, size: 2 | 4 | 8, value: number | bigint): void {
    if (size !== 2 || typeof value !== "number") return this.write(at, littleEndian(value, size));
    const { region, shadow } = this.#arena(at, size); // ring indexes: millions of them in long runs
    const offset = at - region.base;
    region.u8[offset] = shadow[offset] = value;
    region.u8[offset + 1] = shadow[offset + 1] = value >>> 8;
  }

  /** Fills [at, at + length) with one value as the driver. */
  fill(at: number, length: number, value: number): void {
    this.write(at, new Uint8Array(length).fill(value));
  }

  /** A copy of [at, at + length). */
  read(at: number, length: number): Uint8Array<ArrayBuffer> {
    const copy = new Uint8Array(length);
    this.memory.read(gpa(at), copy);
    return copy;
  }

  u16(at: number): number {
    return this.memory.getU16(gpa(at));
  }

  u32(at: number): number {
    return this.memory.getU32(gpa(at));
  }

  /** Lets the device write [at, at + length) from now on. */
  allow(at: number, length: number): void {
    const { region, allowed } = this.#arena(at, length);
    allowed.fill(1, at - region.base, at - region.base + length);
  }

  /** Ends `allow`: from now on these bytes must stay as they are. */
  seal(at: number, length: number): void {
    const { region, allowed, shadow } = this.#arena(at, length);
    const from = at - region.base;
    allowed.fill(0, from, from + length);
    shadow.set(region.u8.subarray(from, from + length), from);
  }

  /** The lowest address that changed without being allowed to. */
  firstForeignChange(): number | undefined {
    for (const arena of this.#arenas) {
      const offset = foreignChange(arena);
      if (offset !== undefined) return arena.region.base + offset;
    }
    return undefined;
  }

  /** Every stretch of RAM that the device may not change, as the driver left it. */
  *guarded(): Generator<{ readonly at: number; readonly bytes: Uint8Array }> {
    for (const { region, shadow, allowed } of this.#arenas) {
      for (let from = allowed.indexOf(0); from >= 0;) {
        const next = allowed.indexOf(1, from);
        const to = next < 0 ? region.size : next;
        yield { at: region.base + from, bytes: shadow.subarray(from, to) };
        from = allowed.indexOf(0, to);
      }
    }
  }

  /** The bytes behind an iovec entry, as the kernel would find them. */
  hostBytes(address: number, length: number): Uint8Array {
    for (const { region } of this.#arenas) {
      const offset = address - region.hostBase;
      if (offset >= 0 && offset + length <= region.size) {
        return region.u8.subarray(offset, offset + length);
      }
    }
    fail(`Host address 0x${address.toString(16)} with length ${length} is not guest RAM`);
  }

  #arena(at: number, length: number): Arena {
    for (const arena of this.#arenas) {
      const offset = at - arena.region.base;
      if (offset >= 0 && offset + length <= arena.region.size) return arena;
    }
    fail(`The test itself left guest RAM at 0x${at.toString(16)}`);
  }
}

function foreignChange({ region, shadow, shadow32, allowed }: Arena): number | undefined {
  for (let word = 0; word < shadow32.length; word++) {
    if (region.u32[word] === shadow32[word]) continue;
    for (let i = word * 4; i < word * 4 + 4; i++) {
      if (region.u8[i] !== shadow[i] && allowed[i] === 0) return i;
    }
  }
  return undefined;
}

/** `value` as `size` bytes, lowest first. */
export function littleEndian(value: number | bigint, size: number): Uint8Array {
  let rest = BigInt.asUintN(size * 8, BigInt(value));
  return Uint8Array.from({ length: size }, () => {
    const byte = Number(rest & 0xffn);
    rest >>= 8n;
    return byte;
  });
}

/** Bytes that differ from their neighbours and from poison: 0, 1, 2 ... modulo 157, plus `seed`. */
export function pattern(length: number, seed = 0): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (i + seed) % 157);
}

/** All of `parts`, one after the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
