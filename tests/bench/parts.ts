/** The parts of `deno task bench`, in the order they run. A new subject is a file in `parts/` and one line here. */
import type { Part } from "./setting.ts";
import { cpuRows } from "./parts/cpu.ts";
import { cachedRows, directRows, loopRows, tmpfsRows, zramRows } from "./parts/disk.ts";
import { exitRows } from "./parts/exits.ts";
import { disksRows, machinesRows, vcpuRows } from "./parts/growth.ts";
import { interruptRows } from "./parts/interrupts.ts";
import { linuxRows } from "./parts/linux.ts";
import { memoryRows } from "./parts/memory.ts";
import { netRows } from "./parts/net.ts";
import { sandboxRows } from "./parts/sandbox.ts";
import { startRows } from "./parts/start.ts";
import { switchRows } from "./parts/switch.ts";
import { vsockRows } from "./parts/vsock.ts";
import { warmRows } from "./parts/warm.ts";

export const PARTS: Readonly<Record<string, Part>> = {
  start: startRows,
  warm: warmRows,
  memory: memoryRows,
  exits: exitRows,
  interrupts: interruptRows,
  tmpfs: tmpfsRows,
  cached: cachedRows,
  direct: directRows,
  loop: loopRows,
  zram: zramRows,
  cpu: cpuRows,
  vcpus: vcpuRows,
  disks: disksRows,
  machines: machinesRows,
  net: netRows,
  switch: switchRows,
  vsock: vsockRows,
  linux: linuxRows,
  sandbox: sandboxRows,
};
