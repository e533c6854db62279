/** A source of random numbers made of its configuration, on the I/O thread. */
import type { HostResources, LiveDevice } from "../../src/virtio/device_maker.ts";
import { RngDevice } from "./device.ts";
import { GetrandomBackend } from "./getrandom_backend.ts";
import type { RngConfig } from "./kind.ts";

/** Refused by no host. */
export function makeRng({ bytesPerSecond }: RngConfig, { loop }: HostResources): LiveDevice {
  const backend = new GetrandomBackend(loop, bytesPerSecond);
  return { device: new RngDevice(backend), close: () => backend.close() };
}
