/** Guest RAM: one mapping made by the control thread, viewed by every isolate that works with it. */
import type { RamRange } from "../arch/types.ts";
import type { MemoryLayout } from "../ipc/memory_layout.ts";
import type { KvmVm } from "../kvm/vm.ts";
import { PiecewiseMemory } from "../memory/boot_memory.ts";
import { gpa, GuestMemory } from "../memory/guest_memory.ts";
import { bytesAt, Mapping } from "../sys/mmap.ts";

/** Maps RAM for `ranges` in one piece; the pieces of the guest's map lie in it one after the other. */
export function mapRam(ranges: readonly RamRange[]): { mapping: Mapping; layout: MemoryLayout } {
  const size = ranges.reduce((sum, range) => sum + range.size, 0);
  const mapping = Mapping.huge(size, "guest RAM");
  let hostAddress = mapping.address;
  const regions = ranges.map((range) => {
    const region = { base: range.base, size: range.size, hostAddress };
    hostAddress += range.size;
    return region;
  });
  return { mapping, layout: { regions } };
}

/** This isolate's views over RAM mapped by `mapRam`. Made once per isolate: a view costs a collection. */
export function viewRam(layout: MemoryLayout): GuestMemory {
  return new GuestMemory(layout.regions.map(({ base, size, hostAddress }) => ({
    base,
    hostBase: hostAddress,
    buffer: bytesAt(hostAddress, size),
  })));
}

/** The same RAM for a loader, which needs little of it at a time. */
export function bootMemory(layout: MemoryLayout): PiecewiseMemory {
  return new PiecewiseMemory(
    layout.regions,
    (address, length) => new Uint8Array(bytesAt(address, length)),
  );
}

/** Gives the RAM to the VM, a memory slot per region. */
export function plugRam(vm: KvmVm, layout: MemoryLayout): void {
  layout.regions.forEach(({ base, size, hostAddress }, slot) =>
    vm.setUserMemoryRegion({ slot, base: gpa(base), size, hostAddress })
  );
}
