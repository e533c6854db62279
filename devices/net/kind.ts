/** virtio-net as configuration: `--net tap=NAME[,mac=…]`, `--net user`. */
import {
  type Claim,
  type DeviceKind,
  FlagError,
  type Problem,
} from "../../src/virtio/device_kind.ts";
import {
  checkConnection,
  checkDirectory,
  connectionClaims,
  isWhole,
  type NetBackendConfig,
  parseConnection,
  type TapConfig,
} from "./connection.ts";
import { NET_COUNTERS } from "./counts.ts";
import { macBytes } from "./mac_address.ts";
import { optional } from "./optional.ts";
import type { RateConfig } from "./rate.ts";

export type { NetBackendConfig, StreamConfig, SwitchConfig } from "./connection.ts";

/** A network card. */
export interface NetConfig {
  /** Tells the kinds of devices apart. */
  readonly kind: "net";
  readonly backend: NetBackendConfig;
  /** Its address, `02:00:00:00:00:01`; a random one when left out. */
  readonly mac?: string;
  /** Longest IP packet in bytes: told to the guest, and set on a tap. 1500 is what both assume when left out. */
  readonly mtu?: number;
  /** A file that everything on the cable is written to, as pcapng. */
  readonly capture?: string;
  /** How fast the guest may send. */
  readonly sendRate?: RateConfig;
  /** How fast it may be sent to. */
  readonly receiveRate?: RateConfig;
}

/** Spec 5.1.4.1: the least IPv4 may be asked to carry, and the most a 16-bit field holds. */
const MTU = { min: 68, max: 65535 } as const;
const WORDS = "mac=, mtu=, queues=, pcap=, tx-bytes=, tx-packets=, rx-bytes=, rx-packets=";

export const netKind: DeviceKind<NetConfig> = {
  kind: "net",
  syntax: "tap=NAME|user|socket=PATH|listen=PATH|none[,mac=…][,mtu=N]",

  counters: NET_COUNTERS,

  parse(flag: string): NetConfig {
    const [first = "", ...words] = flag.split(",");
    const backend = parseConnection(flag, first);
    const options = new Map<string, string>();
    for (const word of words) {
      const [name = "", value = ""] = splitOnce(word);
      if (!WORDS.split(", ").includes(`${name}=`) || value === "" || options.has(name)) {
        throw new FlagError(`Cannot read network "${flag}": "${word}" is not one of ${WORDS}`);
      }
      options.set(name, value);
    }
    const number = (name: string) => parseNumber(flag, name, options.get(name));
    const queues = number("queues");
    const mac = options.get("mac");
    return {
      kind: "net",
      backend: queues === undefined ? backend : { ...tapOf(flag, backend), queues },
      ...optional("mac", mac),
      ...optional("mtu", number("mtu")),
      ...optional("capture", options.get("pcap")),
      ...optional("sendRate", rateOf(number("tx-bytes"), number("tx-packets"))),
      ...optional("receiveRate", rateOf(number("rx-bytes"), number("rx-packets"))),
    };
  },

  check(config: NetConfig, report: (problem: Problem) => void): void {
    const complain = (code: string, message: string, hint?: string) =>
      report({ field: "--net", code, message, ...optional("hint", hint) });
    const { mac, mtu } = config;
    if (mac !== undefined && macBytes(mac) === undefined) {
      complain(
        "NET_MAC",
        `Cannot use address "${mac}": it is not one of a single card`,
        "write six bytes in hexadecimal, the first one even: mac=02:00:00:00:00:01",
      );
    }
    if (mtu !== undefined && !isWhole(mtu, MTU.min, MTU.max)) {
      complain("NET_MTU", `Cannot use an MTU of ${mtu}: ${MTU.min} to ${MTU.max} are possible`);
    }
    for (const rate of [config.sendRate, config.receiveRate]) {
      const values = [rate?.bytesPerSecond, rate?.packetsPerSecond];
      if (values.every((value) => value === undefined || value > 0)) continue;
      complain("NET_RATE", "Cannot limit a network to nothing", "leave --net out for no network");
    }
    if (config.capture !== undefined) checkDirectory(config.capture, complain);
    checkConnection(config.backend, complain);
  },

  claims({ backend }: NetConfig): readonly Claim[] {
    return connectionClaims(backend);
  },
};

/** Only taps have queues to choose. */
function tapOf(flag: string, backend: NetBackendConfig): TapConfig {
  if (backend.type === "tap") return backend;
  throw new FlagError(`Cannot read network "${flag}": queues= is for tap=NAME only`);
}

function rateOf(bytesPerSecond?: number, packetsPerSecond?: number): RateConfig | undefined {
  if (bytesPerSecond === undefined && packetsPerSecond === undefined) return undefined;
  return {
    ...optional("bytesPerSecond", bytesPerSecond),
    ...optional("packetsPerSecond", packetsPerSecond),
  };
}

/** Digits, with K, M or G for powers of 1024 behind them. */
function parseNumber(flag: string, name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, digits, unit = ""] = /^(\d{1,15})([KMG]?)$/.exec(text) ?? [];
  if (digits === undefined) {
    throw new FlagError(
      `Cannot read network "${flag}": "${text}" is not a number`,
      `write ${name}=1000, or ${name}=10M`,
    );
  }
  return Number(digits) * 1024 ** (unit === "" ? 0 : "KMG".indexOf(unit) + 1);
}

function splitOnce(word: string): [string, string] {
  const at = word.indexOf("=");
  return at < 0 ? [word, ""] : [word.slice(0, at), word.slice(at + 1)];
}
