/**
 * Guest RAM as devices and loaders see it: guest-physical addresses in, checked access out.
 * Called by everything that touches guest memory; knows neither KVM nor FFI (heap memory will do, in tests).
 */

declare const gpaBrand: unique symbol;
declare const hostBrand: unique symbol;
/** A guest-physical address: an integer below 2**53, so that BigInt never enters a hot path. */
export type Gpa = number & { readonly [gpaBrand]: true };
/** An address in the monitor's own address space: what the kernel wants in an iovec. */
export type HostAddress = number & { readonly [hostBrand]: true };

/** Names `value` a guest-physical address; checks nothing. */
export function gpa(value: number): Gpa {
  return value as Gpa;
}

/** One contiguous piece of guest RAM with views over its bytes. Views are little-endian, as guests are. */
export interface MemoryRegion {
  readonly base: Gpa;
  /** Bytes; a multiple of 4096. */
  readonly size: number;
  readonly hostBase: HostAddress;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
}

/** Guest memory was addressed outside of RAM, or across the end of a region: the guest's fault. */
export class GuestFault extends Error {
  override readonly name = "GuestFault";
  constructor(readonly at: number, readonly length: number, why = "outside guest RAM") {
    super(`Guest address 0x${at.toString(16)} with length ${length} is ${why}`);
  }
}

/** Where a region's bytes come from: an mmap in the monitor, a plain ArrayBuffer in tests. */
export interface RegionSource {
  readonly base: number;
  readonly hostBase: number;
  readonly buffer: ArrayBufferLike;
  /** Byte range of `buffer` that is this region; the whole of it when left out. */
  readonly offset?: number;
  readonly size?: number;
}

/**
 * All RAM of one guest. Every method throws `GuestFault` unless [at, at + length) lies inside one region;
 * the check is done on doubles, which are exact here: `at` < 2**53 and `length` <= 2**32.
 */
export class GuestMemory {
  readonly regions: readonly MemoryRegion[];

  constructor(sources: readonly RegionSource[]) {
    this.regions = sources.map(openRegion).sort((a, b) => a.base - b.base);
  }

  /** Bytes of RAM. */
  get size(): number {
    return this.regions.reduce((sum, region) => sum + region.size, 0);
  }

  /** Whether [at, at + length) lies inside one region. A length of 0 must still start inside RAM or at its end. */
  contains(at: number, length: number): boolean {
    return this.find(at, length) !== undefined;
  }

  /** The region that holds all of [at, at + length), or undefined. */
  find(at: number, length: number): MemoryRegion | undefined {
    return regionWith(this.regions, at, length);
  }

  /** The region that holds all of [at, at + length). Ring code keeps it and an index: checked once. */
  region(at: number, length: number): MemoryRegion {
    const region = this.find(at, length);
    if (region === undefined) throw new GuestFault(at, length);
    return region;
  }

  getU16(at: Gpa): number {
    const { u8, base } = this.region(at, 2);
    const i = at - base;
    return byte(u8, i) | (byte(u8, i + 1) << 8);
  }

  getU32(at: Gpa): number {
    const { u8, base } = this.region(at, 4);
    const i = at - base;
    return (byte(u8, i) | (byte(u8, i + 1) << 8) | (byte(u8, i + 2) << 16) |
      (byte(u8, i + 3) << 24)) >>> 0;
  }

  setU16(at: Gpa, value: number): void {
    const { u8, base } = this.region(at, 2);
    u8[at - base] = value;
    u8[at - base + 1] = value >>> 8;
  }

  setU32(at: Gpa, value: number): void {
    const { u8, base } = this.region(at, 4);
    const i = at - base;
    u8[i] = value;
    u8[i + 1] = value >>> 8;
    u8[i + 2] = value >>> 16;
    u8[i + 3] = value >>> 24;
  }

  /** Writes a 64-bit value below 2**53 as two halves. */
  setU64(at: Gpa, value: number): void {
    this.region(at, 8);
    this.setU32(at, value % 0x1_0000_0000);
    this.setU32(gpa(at + 4), Math.floor(value / 0x1_0000_0000));
  }

  /** Fills `into` from guest memory at `at`. */
  read(at: Gpa, into: Uint8Array): void {
    const { u8, base } = this.region(at, into.length);
    into.set(u8.subarray(at - base, at - base + into.length));
  }

  /** Copies `from` to guest memory at `at`. */
  write(at: Gpa, from: Uint8Array): void {
    const { u8, base } = this.region(at, from.length);
    u8.set(from, at - base);
  }

  /** The guest's bytes [at, at + length) themselves, not a copy: for a host read straight into RAM. */
  view(at: Gpa, length: number): Uint8Array {
    const { u8, base } = this.region(at, length);
    return u8.subarray(at - base, at - base + length);
  }

  /** Where [at, at + length) starts in the monitor's address space, for iovecs. */
  hostAddress(at: Gpa, length: number): HostAddress {
    const { hostBase, base } = this.region(at, length);
    return (hostBase + (at - base)) as HostAddress;
  }
}

/** The one of `regions` that holds all of [at, at + length), or undefined. */
export function regionWith<Region extends { readonly base: number; readonly size: number }>(
  regions: readonly Region[],
  at: number,
  length: number,
): Region | undefined {
  for (let i = 0; i < regions.length; i++) {
    const region = regions[i] as Region;
    const offset = at - region.base;
    if (offset >= 0 && length >= 0 && offset + length <= region.size) return region;
  }
  return undefined;
}

function byte(bytes: Uint8Array, index: number): number {
  return bytes[index] as number; // the region check has put `index` inside
}

function openRegion(source: RegionSource): MemoryRegion {
  const offset = source.offset ?? 0;
  const size = source.size ?? source.buffer.byteLength - offset;
  return {
    base: gpa(source.base),
    size,
    hostBase: source.hostBase as HostAddress,
    u8: new Uint8Array(source.buffer, offset, size),
    u16: new Uint16Array(source.buffer, offset, size / 2),
    u32: new Uint32Array(source.buffer, offset, size / 4),
  };
}

/** Guest memory on the heap: for tests and for building images. `ranges` are {base, size} in bytes. */
export function heapGuestMemory(
  ranges: readonly { readonly base: number; readonly size: number }[],
): GuestMemory {
  return new GuestMemory(ranges.map(({ base, size }, i) => ({
    base,
    hostBase: 0x7000_0000_0000 + i * 0x100_0000_0000, // fictitious, distinct per region
    buffer: new SharedArrayBuffer(size),
  })));
}
