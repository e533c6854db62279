/**
 * Where an overlay keeps what it copies on its way from the base to the scratch file: a few pieces of the monitor's
 * memory, reused, so that a guest that writes everywhere at once makes its own requests wait and nothing grow.
 */

/** Copies at the same time. */
export const COPIES = 16;

/** Memory known by address; nothing here looks into it. */
export interface HostMemory {
  readonly address: number;
  /** `inUse`: the kernel may still write there. */
  release(inUse: boolean): void;
}

/** How much of it copies of clusters of `clusterBytes` need. */
export function copyMemoryBytes(clusterBytes: number): number {
  return (COPIES * 2 + 1) * clusterBytes;
}

/** Pieces of two clusters each, for what lies before and behind the data of a write; and one cluster of zeroes. */
export class CopyMemory {
  readonly #memory: HostMemory;
  readonly #clusterBytes: number;
  readonly #free: number[] = [];

  /** Takes over `memory`: `copyMemoryBytes` of zeroes. */
  constructor(memory: HostMemory, clusterBytes: number) {
    this.#memory = memory;
    this.#clusterBytes = clusterBytes;
    for (let i = COPIES; i > 0; i--) {
      this.#free.push(memory.address + (i - 1) * 2 * clusterBytes);
    }
  }

  /** The address of a piece that nobody uses, or 0. */
  take(): number {
    return this.#free.pop() ?? 0;
  }

  /** The end of `take`. */
  give(address: number): void {
    this.#free.push(address);
  }

  /** A cluster of zeroes, to be read only. */
  get zeroes(): number {
    return this.#memory.address + COPIES * 2 * this.#clusterBytes;
  }

  release(): void {
    this.#memory.release(this.#free.length < COPIES);
  }
}
