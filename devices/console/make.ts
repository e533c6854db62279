/** A console made of its configuration, on the I/O thread. */
import type { HostResources, LiveDevice } from "../../src/virtio/device_maker.ts";
import { ConsoleDevice } from "./device.ts";
import type { ConsoleConfig } from "./kind.ts";

/** Throws what opening a channel throws. */
export function makeConsole(config: ConsoleConfig, host: HostResources): LiveDevice {
  const device = new ConsoleDevice({
    ports: config.ports.map((port) => ({
      backend: host.channel(port.channel),
      ...(port.name === undefined ? {} : { name: port.name }),
      isConsole: port.console ?? false,
    })),
    columns: config.columns ?? 80,
    rows: config.rows ?? 24,
  });
  return {
    device,
    close: () => {},
    resize: (columns, rows) => device.resize(columns, rows),
  };
}
