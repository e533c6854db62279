/**
 * RAM as loaders see it: written here and there, once, before the guest runs. Devices have views over all of it, which V8
 * counts as memory of its own: where the views are made it collects garbage, a millisecond of a machine's start.
 */
import { type Gpa, GuestFault, type HostAddress, regionWith } from "./guest_memory.ts";

/** One contiguous piece of RAM: a guest-physical address, and bytes. */
export interface RamPiece {
  readonly base: number;
  readonly size: number;
}

/** What loaders ask of RAM. `GuestMemory` answers as well. */
export interface BootMemory {
  /** Bytes of RAM. */
  readonly size: number;
  readonly regions: readonly RamPiece[];
  /** Whether [at, at + length) lies inside one region. */
  contains(at: number, length: number): boolean;
  /** The region that holds all of [at, at + length), or undefined. */
  find(at: number, length: number): RamPiece | undefined;
  /** The bytes [at, at + length) themselves. Throws GuestFault unless they lie inside one region. */
  view(at: Gpa, length: number): Uint8Array;
  /** Copies `from` to `at`. Throws like `view`. */
  write(at: Gpa, from: Uint8Array): void;
}

/** A piece of RAM, and where in this process it is. */
export interface HostedPiece extends RamPiece {
  readonly hostAddress: number;
}

/** The bytes [address, address + length) of this process, themselves. */
export type BytesAt = (address: HostAddress, length: number) => Uint8Array;

/** RAM that is viewed piece by piece. */
export class PiecewiseMemory implements BootMemory {
  readonly regions: readonly HostedPiece[];
  readonly #bytesAt: BytesAt;

  /** `bytesAt` is asked for bytes of `pieces` only; for none of them, too, at their ends. */
  constructor(pieces: readonly HostedPiece[], bytesAt: BytesAt) {
    this.regions = pieces.toSorted((a, b) => a.base - b.base);
    this.#bytesAt = bytesAt;
  }

  get size(): number {
    return this.regions.reduce((sum, { size }) => sum + size, 0);
  }

  contains(at: number, length: number): boolean {
    return this.find(at, length) !== undefined;
  }

  find(at: number, length: number): HostedPiece | undefined {
    return regionWith(this.regions, at, length);
  }

  view(at: Gpa, length: number): Uint8Array {
    const region = this.find(at, length);
    if (region === undefined) throw new GuestFault(at, length);
    const address = (region.hostAddress + (at - region.base)) as HostAddress;
    return this.#bytesAt(address, length);
  }

  write(at: Gpa, from: Uint8Array): void {
    this.view(at, from.length).set(from);
  }
}
