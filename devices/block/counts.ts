/** What a disk counts, of requests that were done: bytes, requests; and those the host has refused. */
import type { Counters } from "../../src/virtio/counters.ts";

/** Their names, in the order in which they are published. */
export const BLOCK_COUNTERS = [
  "readBytes",
  "writeBytes",
  "reads",
  "writes",
  "flushes",
  "failures",
] as const;

const READ_BYTES = 0;
const WRITE_BYTES = 1;
const READS = 2;
const WRITES = 3;
const FLUSHES = 4;
const FAILURES = 5;

/** The counts of one disk, on the I/O thread. */
export class BlockCounts {
  readonly #counters: Counters;
  readonly #counts = new Float64Array(BLOCK_COUNTERS.length);

  /** `counters`: where others read them. */
  constructor(counters: Counters) {
    this.#counters = counters;
  }

  /** A request of the driver's is done; `bytes` of a transfer. Discards and zeroes are not counted. */
  done(stage: "read" | "write" | "flush" | "ranges", bytes: number): void {
    if (stage === "read") {
      this.#add(READS, 1);
      this.#add(READ_BYTES, bytes);
    } else if (stage === "write") {
      this.#add(WRITES, 1);
      this.#add(WRITE_BYTES, bytes);
    } else if (stage === "flush") {
      this.#add(FLUSHES, 1);
    }
  }

  /** The host has refused one. */
  failed(): void {
    this.#add(FAILURES, 1);
  }

  /** Shows what was counted to others. */
  publish(): void {
    this.#counters.publish(this.#counts);
  }

  #add(index: number, amount: number): void {
    this.#counts[index] = (this.#counts[index] as number) + amount;
  }
}
