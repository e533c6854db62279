/**
 * The registry: every kind of virtio device, and the union of their configurations. One line each, and one in
 * `makers.ts`, which stands apart: whoever only plans or checks a machine need not load how devices work.
 */
import type { DeviceKind } from "../src/virtio/device_kind.ts";
import { type BlockConfig, blockKind } from "./block/kind.ts";
import { type ConsoleConfig, consoleKind } from "./console/kind.ts";
import { type NetConfig, netKind } from "./net/kind.ts";
import { type RngConfig, rngKind } from "./rng/kind.ts";
import { type VsockConfig, vsockKind } from "./vsock/kind.ts";

export type { BlockConfig } from "./block/kind.ts";
export type { ConsoleConfig, ConsolePortConfig } from "./console/kind.ts";
export type { NetBackendConfig, NetConfig, StreamConfig, SwitchConfig } from "./net/kind.ts";
export type { RngConfig } from "./rng/kind.ts";
export type { VsockConfig } from "./vsock/kind.ts";

/** What a machine may be given. */
export type DeviceConfig = BlockConfig | ConsoleConfig | NetConfig | RngConfig | VsockConfig;

const KINDS = {
  block: blockKind,
  console: consoleKind,
  net: netKind,
  rng: rngKind,
  vsock: vsockKind,
} as const;

/** The kind that `config` is of, typed for it. */
export function kindOf<C extends DeviceConfig>(config: C): DeviceKind<C> {
  // SAFETY of the cast: the table maps each `kind` to the DeviceKind of that very configuration.
  return KINDS[config.kind] as unknown as DeviceKind<C>;
}
