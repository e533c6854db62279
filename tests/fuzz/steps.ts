/** What a fuzzed driver, and the host behind the device, can do: plain data, so that a case can be printed and kept. */

/**
 * Where a buffer or table is. `readable`: RAM no device may change. `writable`: RAM it may. `tables`: where indirect
 * tables are. `wild`: not RAM, or RAM that ends too soon; the offset chooses which.
 */
export type Area = "readable" | "writable" | "tables" | "wild";

/** A descriptor. Numbers are taken modulo what there is. */
export interface Part {
  readonly area: Area;
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

export type Step =
  /** Reset, features `mask` of the offer, all queues with `size` entries, DRIVER_OK. */
  | { readonly do: "up"; readonly mask: number; readonly size: number; readonly high: boolean }
  | { readonly do: "status"; readonly value: number }
  | {
    readonly do: "write";
    readonly offset: number;
    readonly size: 1 | 2 | 4;
    readonly value: number;
  }
  | { readonly do: "read"; readonly offset: number; readonly size: 1 | 2 | 4 }
  /** An honest request, some of its bytes changed, cut into `pieces`. */
  | {
    readonly do: "request";
    readonly queue: number;
    readonly seed: number;
    readonly pieces: number;
    readonly indirect: boolean;
    readonly changes: readonly (readonly [offset: number, value: number])[];
    readonly room: number;
  }
  /** A request of the device type with any arguments; `value` is the seed of `strayRequest`. */
  | {
    readonly do: "stray";
    readonly value: number;
    readonly pieces: number;
    readonly indirect: boolean;
  }
  /** Descriptors from `at` on in the queue's own table, and a head published `times`. */
  | {
    readonly do: "chain";
    readonly queue: number;
    readonly at: number;
    readonly parts: readonly Part[];
    readonly times: number;
  }
  /** Descriptors in table `at` of the area of tables. */
  | { readonly do: "table"; readonly at: number; readonly parts: readonly Part[] }
  /** A byte of a ring, at an offset from its start; only in cases that are not strict. */
  | {
    readonly do: "byte";
    readonly queue: number;
    readonly ring: "desc" | "avail" | "tables";
    readonly offset: number;
    readonly value: number;
  }
  | { readonly do: "avail"; readonly queue: number; readonly delta: number }
  | { readonly do: "event"; readonly queue: number; readonly value: number }
  | { readonly do: "kick"; readonly queue: number }
  | { readonly do: "turn" }
  | { readonly do: "settle" }
  | { readonly do: "advance"; readonly ms: number }
  | { readonly do: "stall" }
  | { readonly do: "release" }
  | { readonly do: "config" }
  /** The host's side does something of its own: input, room, errors. */
  | { readonly do: "meddle"; readonly value: number };

export interface FuzzCase {
  /** A row of `tests/conformance/devices.ts`. */
  readonly device: string;
  /**
   * Descriptors only let the device write where it may be seen to write, so that every other change of RAM is a fault.
   * Otherwise descriptors and ring addresses are anything, and only what comes after a reset is looked at.
   */
  readonly strict: boolean;
  readonly steps: readonly Step[];
}
