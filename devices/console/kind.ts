/** virtio-console as configuration: its ports and where their bytes go. */
import {
  type ChannelConfig,
  type Claim,
  type DeviceKind,
  FlagError,
  type Problem,
} from "../../src/virtio/device_kind.ts";

/** Linux numbers ports in one 32-bit config field; more than this per machine is a mistake. */
const MAX_PORTS = 31;

/** One byte stream between guest and host. */
export interface ConsolePortConfig {
  /** /dev/virtio-ports/NAME in a Linux guest. A name makes the console a MULTIPORT one. */
  readonly name?: string;
  /** A console (hvc) for the guest, rather than a character device. Port 0 of a nameless console is one. */
  readonly console?: boolean;
  /** The host's end. */
  readonly channel: ChannelConfig;
}

/** A virtio console with one or more ports. */
export interface ConsoleConfig {
  /** Tells the kinds of devices apart. */
  readonly kind: "console";
  /** Port 0 first. */
  readonly ports: readonly ConsolePortConfig[];
  /** The window at the start, in characters; 80 by 24 when left out. */
  readonly columns?: number;
  /** See `columns`. */
  readonly rows?: number;
}

export const consoleKind: DeviceKind<ConsoleConfig> = {
  kind: "console",
  syntax: "serial|virtio|file=PATH|off",
  parse(flag: string): ConsoleConfig {
    throw new FlagError(
      `Cannot read console "${flag}": a console device is planned from --console`,
    );
  },
  check(config: ConsoleConfig, report: (problem: Problem) => void): void {
    const { ports } = config;
    if (ports.length === 0 || ports.length > MAX_PORTS) {
      report({
        field: "console.ports",
        code: "CONSOLE_PORTS",
        message: `Cannot make a console with ${ports.length} ports: 1 to ${MAX_PORTS} are possible`,
      });
    }
    const names = ports.map((port) => port.name).filter((name) => name !== undefined);
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) {
      report({
        field: "console.ports",
        code: "CONSOLE_PORT_NAME",
        message: `Cannot name two console ports "${twice}"`,
        hint: "give each port a name of its own",
      });
    }
  },
  claims(): readonly Claim[] {
    return [];
  },
};
