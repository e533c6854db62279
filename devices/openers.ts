/**
 * The registry's part for the control thread: what it opens for a device before the guest runs, so that the I/O thread
 * can be left for later. One line for each kind that has something to open.
 */
import type { OwnedFd } from "../src/sys/fd.ts";
import { blockOpener } from "./block/open.ts";
import type { DeviceConfig } from "./mod.ts";

/** Opens all that a device needs of the host. Throws SysError. */
export type Opener = () => OwnedFd;

const OPENERS: {
  readonly [K in DeviceConfig["kind"]]?: (
    config: Extract<DeviceConfig, { readonly kind: K }>,
  ) => Opener | undefined;
} = { block: blockOpener };

/** Undefined: there is nothing to open, or the device's maker sees to it, on the I/O thread. */
export function openerOf(config: DeviceConfig): Opener | undefined {
  // SAFETY of the cast: the table maps each `kind` to the function for that very configuration.
  const find = OPENERS[config.kind] as ((config: DeviceConfig) => Opener | undefined) | undefined;
  return find?.(config);
}
