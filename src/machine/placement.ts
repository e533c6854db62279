/** Which thread does what, and from when on: decided with the plan, before anything is opened. Used by `machine.ts`. */
import { kindOf } from "../../devices/mod.ts";
import type { MachinePlan } from "./plan.ts";

export interface Placement {
  /**
   * When the I/O thread starts. `when needed`: at the guest's first access that it has to serve, or when the guest has
   * run for a moment. A worker holds up the thread that starts it for 10 ms and more; a guest that ends before it does
   * any I/O never pays for it.
   */
  readonly io: "at once" | "when needed";
}

/** `isLocal`: the control thread runs the first vCPU. */
export function placementOf(plan: MachinePlan, isLocal: boolean): Placement {
  // What a device needs of the host must be had, or refused, before the guest runs; and only the vCPU on the control
  // thread can start the I/O thread from an exit.
  const claims = plan.devices.some(({ config }) => kindOf(config).claims(config).length > 0);
  return { io: isLocal && plan.config.vcpus === 1 && !claims ? "when needed" : "at once" };
}
