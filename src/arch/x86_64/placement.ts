/**
 * Who has which piece of low RAM while a machine is put together. Called by `boot.ts`.
 */
import type { BootMemory } from "../../memory/boot_memory.ts";
import { roundDown } from "../bytes.ts";
import type { RamRange } from "../types.ts";
import { HIGH_MEMORY } from "./memory_map.ts";

/** Hands out room in the RAM between 1 MiB and the hole, from the top; what was given or taken is never given again. */
export class Placement {
  readonly #end: number;
  readonly #taken: RamRange[] = [];

  constructor(memory: BootMemory) {
    const low = memory.find(0, 0);
    this.#end = low === undefined ? 0 : low.base + low.size;
  }

  /** Marks `range` as used. */
  take(range: RamRange): void {
    this.#taken.push(range);
  }

  /** The highest free `size` bytes that end at or below `limit` and start at a multiple of `align`, now taken. */
  highest(size: number, limit: number, align: number): RamRange | undefined {
    let end = Math.min(this.#end, limit);
    for (;;) {
      const base = roundDown(end - size, align);
      if (base < HIGH_MEMORY) return undefined;
      const obstacle = this.#taken.find((taken) => overlaps(taken, base, size));
      if (obstacle === undefined) {
        const range = { base, size };
        this.#taken.push(range);
        return range;
      }
      end = obstacle.base; // strictly lower than before, so this ends
    }
  }
}

function overlaps(taken: RamRange, base: number, size: number): boolean {
  return base < taken.base + taken.size && taken.base < base + size;
}
