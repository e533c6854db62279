/** What a machine has done so far, in numbers. */
import { kindOf } from "../../devices/mod.ts";
import type { ControlBlock } from "../ipc/control_block.ts";
import type { Mapping } from "../sys/mmap.ts";
import type { MachinePlan } from "./plan.ts";
import type { ExitCounts } from "./vcpu_group.ts";

/** A look at a machine that goes on meanwhile: each device's counts are of one moment, not those of all. */
export interface MachineMetrics {
  /** Exits to this process, by kind, over all vCPUs; of each vCPU modulo 2**32. */
  readonly exits: ExitCounts;
  /** Bytes of guest RAM, and those of them that the host has given it so far. */
  readonly memory: { readonly total: number; readonly resident: number };
  /** What each device has counted, by the names of its kind; nothing for those that count nothing. */
  readonly devices: readonly DeviceMetrics[];
}

/** The counts of one device. */
export interface DeviceMetrics {
  /** As the plan names it: `block0`. */
  readonly name: string;
  /** As its configuration has it: `block`. */
  readonly kind: string;
  /** For disks and cards see `devices/block/counts.ts` and `devices/net/counts.ts`. */
  readonly counts: Readonly<Record<string, number>>;
}

/** `ram`: undefined when it is not mapped. */
export function metricsOf(
  plan: MachinePlan,
  block: ControlBlock,
  ram: Mapping | undefined,
  exits: ExitCounts,
): MachineMetrics {
  return {
    exits,
    memory: {
      total: plan.ram.reduce((sum, { size }) => sum + size, 0),
      resident: ram?.residentBytes() ?? 0,
    },
    devices: plan.devices.map(({ config, slot }, index) => {
      const names = kindOf(config).counters ?? [];
      const counts = block.counters(index).read(names.length);
      return {
        name: slot.name,
        kind: config.kind,
        counts: Object.fromEntries(names.map((name, i) => [name, counts[i] ?? 0])),
      };
    }),
  };
}
