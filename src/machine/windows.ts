/** The address windows a vCPU serves, as plain data for its worker: rendered from the plan. */
import type { DeviceSlot } from "../arch/types.ts";
import type { MachinePlan } from "./plan.ts";

/** One window. `device` is the virtio device's index; the other kinds are served by the vCPU itself. */
export interface Window {
  readonly kind: DeviceSlot["kind"];
  readonly space: "mmio" | "pio";
  readonly base: number;
  readonly size: number;
  readonly device?: number;
}

/** All windows of `plan`. They do not overlap: fixed slots and virtio slots are apart by design. */
export function windowsOf(plan: MachinePlan): Window[] {
  const fixed = plan.fixed.map(({ kind, space, base, size }) => ({ kind, space, base, size }));
  const virtio = plan.devices.map(({ slot }, device) => ({
    kind: slot.kind,
    space: slot.space,
    base: slot.base,
    size: slot.size,
    device,
  }));
  return [...fixed, ...virtio];
}
