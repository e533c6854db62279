/** virtio-rng as configuration: `--rng none|on[,rate=BYTES]`. */
import {
  type Claim,
  type DeviceKind,
  FlagError,
  type Problem,
} from "../../src/virtio/device_kind.ts";

/** A source of random numbers (/dev/hwrng in a Linux guest). */
export interface RngConfig {
  /** Tells the kinds of devices apart. */
  readonly kind: "rng";
  /** Most bytes a second over time; as many as the guest wants when left out. */
  readonly bytesPerSecond?: number;
}

const BYTES_PER_UNIT: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20 };

export const rngKind: DeviceKind<RngConfig> = {
  kind: "rng",
  syntax: "none|on[,rate=BYTES]",

  parse(flag: string): RngConfig {
    const [, on, rate] = /^(on)(?:,rate=(.*))?$/.exec(flag) ?? [];
    if (on === undefined) {
      throw new FlagError(
        `Cannot read --rng "${flag}": it is neither none nor on`,
        "write --rng on, or --rng on,rate=64K for at most 64 KiB a second",
      );
    }
    return rate === undefined
      ? { kind: "rng" }
      : { kind: "rng", bytesPerSecond: parseRate(flag, rate) };
  },

  check({ bytesPerSecond }: RngConfig, report: (problem: Problem) => void): void {
    if (bytesPerSecond === undefined || bytesPerSecond >= 1 && Number.isFinite(bytesPerSecond)) {
      return;
    }
    report({
      field: "--rng",
      code: "RNG_RATE",
      message: `Cannot limit the random number device to ${bytesPerSecond} bytes a second`,
      hint: "give at least 1, or leave rate= out",
    });
  },

  claims(): readonly Claim[] {
    return [];
  },
};

/** Bytes in `500`, `64K`, `64KiB` or `1M`. */
function parseRate(flag: string, text: string): number {
  const [, digits, unit = ""] = /^(\d{1,12})([km]?)(?:i?b)?$/i.exec(text) ?? [];
  const perUnit = BYTES_PER_UNIT[unit.toLowerCase()];
  if (digits === undefined || perUnit === undefined || Number(digits) === 0) {
    throw new FlagError(
      `Cannot read --rng "${flag}": "${text}" is no rate`,
      "write bytes a second: rate=512, rate=64K, rate=1M",
    );
  }
  return Number(digits) * perUnit;
}
