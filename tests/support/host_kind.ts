/** Which of the three kinds of host (README, "Hosts") this is: it decides what guests can run and how much they do. */
import { hostRingZero } from "../../src/guest/ring_zero.ts";

/**
 * `hardware`: guest ring 0 runs in the processor. `nested`: it does, in the processor that QEMU's TCG emulates (the
 * lab). `emulated`: KVM executes it instruction by instruction, some hundred times slower.
 */
export type HostKind = "hardware" | "nested" | "emulated";

/** The kind of this host. */
export const HOST_KIND: HostKind = hostKind();

function hostKind(): HostKind {
  if (hostRingZero().by !== "hardware") return "emulated";
  const cpuinfo = Deno.readTextFileSync("/proc/cpuinfo");
  return /^model name\s*: QEMU TCG/m.test(cpuinfo) ? "nested" : "hardware";
}

/** One value for each kind of host: how much a case does there. */
export function byHost<T>(values: Readonly<Record<HostKind, T>>): T {
  return values[HOST_KIND];
}

/** All of the host's memory in MiB. */
export function hostMemoryMib(): number {
  return Deno.systemMemoryInfo().total / 2 ** 20;
}
