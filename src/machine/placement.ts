/** Which thread does what, and from when on: decided with the plan, before anything is opened. Used by `machine.ts`. */
import { type DeviceConfig, kindOf } from "../../devices/mod.ts";
import { openerOf } from "../../devices/openers.ts";
import type { MachinePlan } from "./plan.ts";

/**
 * `when needed`: when the guest has run for a moment, the I/O thread at the guest's first access to it, if that is sooner.
 * A worker holds up the thread that starts it for 10 ms and more; a guest that ends before it needs one never pays for it.
 */
export type StartOfThread = "at once" | "when needed";

export interface Placement {
  /** The I/O thread. */
  readonly io: StartOfThread;
  /** The threads of vCPUs. INIT and SIPI of the boot processor wait inside KVM for them. */
  readonly vcpus: StartOfThread;
}

/** `isLocal`: the control thread runs the first vCPU. */
export function placementOf(plan: MachinePlan, isLocal: boolean): Placement {
  // Only the vCPU on the control thread can start a thread from an exit. The others do not run before the I/O thread has
  // been started.
  if (!isLocal) return { io: "at once", vcpus: "at once" };
  const io = plan.devices.some(({ config }) => isClaimedThere(config)) ? "at once" : "when needed";
  return { io, vcpus: "when needed" };
}

/** What a device needs of the host must be had, or refused, before the guest runs: by the I/O thread, if not by control. */
function isClaimedThere(config: DeviceConfig): boolean {
  return kindOf(config).claims(config).length > 0 && openerOf(config) === undefined;
}
