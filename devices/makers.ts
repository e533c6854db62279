/** The registry's other half: how each kind of device is made. One line each; for the I/O thread only. */
import type { DeviceMaker } from "../src/virtio/device_maker.ts";
import { makeBlock } from "./block/make.ts";
import { makeConsole } from "./console/make.ts";
import type { DeviceConfig } from "./mod.ts";
import { makeNet } from "./net/make.ts";
import { makeRng } from "./rng/make.ts";
import { makeVsock } from "./vsock/make.ts";

const MAKERS: {
  readonly [K in DeviceConfig["kind"]]: DeviceMaker<Extract<DeviceConfig, { readonly kind: K }>>;
} = {
  block: makeBlock,
  console: makeConsole,
  net: makeNet,
  rng: makeRng,
  vsock: makeVsock,
};

/** What makes a device of `config`, typed for it. */
export function makerOf<C extends DeviceConfig>(config: C): DeviceMaker<C> {
  // SAFETY of the cast: the table maps each `kind` to the maker for that very configuration.
  return MAKERS[config.kind] as unknown as DeviceMaker<C>;
}
