/** Sizes, times and counts as people write them on a command line. Throws FlagError; called by `run_settings.ts`. */
import { LIMITS } from "../machine/config.ts";
import { bytesIn } from "../machine/size.ts";
import { FlagError } from "../virtio/device_kind.ts";

const MIB = 2 ** 20;
const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A timer fires at once when its delay does not fit into 31 bits. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** MiB in `128M`, `1G`, `512MiB`, `0.5G` or `256`. As everywhere with memory, M and MB mean MiB. */
export function parseMemory(text: string): number {
  const bytes = /^\d+$/.test(text) ? Number(text) * MIB : bytesIn(text);
  if (bytes === undefined) {
    throw new FlagError(
      `Cannot read --mem "${text}": it is no size`,
      "write a number of MiB, or one with a unit: --mem 512M, --mem 1G",
    );
  }
  const mib = bytes / MIB;
  if (!Number.isInteger(mib)) {
    throw new FlagError(`Cannot read --mem "${text}": it is no whole number of MiB`, "round it");
  }
  const { min, max } = LIMITS.memoryMib;
  if (mib < min || mib > max) {
    throw new FlagError(
      `Cannot use --mem "${text}": ${min}M to ${max / 1024}G are possible`,
      "a small Linux runs with --mem 64M",
    );
  }
  return mib;
}

/** `1` to the most vCPUs there can be. */
export function parseCpus(text: string): number {
  const { min, max } = LIMITS.vcpus;
  if (!/^\d+$/.test(text)) {
    throw new FlagError(`Cannot read --cpus "${text}": it is no whole number`, "write --cpus 1");
  }
  const cpus = Number(text);
  if (cpus < min || cpus > max) {
    throw new FlagError(
      `Cannot use --cpus ${text}: ${min} to ${max} are possible`,
      "dinovisor doctor shows what this host's KVM allows",
    );
  }
  return cpus;
}

/** Milliseconds in `30s`, `5m`, `1500ms` or `1.5h`. */
export function parseDuration(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  const perUnit = MS_PER_UNIT[unit ?? ""];
  if (digits === undefined || perUnit === undefined) {
    const hint = /^\d+$/.test(text)
      ? `add a unit: --timeout ${text}s`
      : "write it as 30s, 5m or 1500ms: --timeout 30s";
    throw new FlagError(`Cannot read --timeout "${text}": it is no time`, hint);
  }
  const ms = Math.round(Number(digits) * perUnit);
  if (ms < 1 || ms > MAX_DELAY_MS) {
    throw new FlagError(
      `Cannot use --timeout "${text}": 1ms to ${
        Math.floor(MAX_DELAY_MS / 3_600_000)
      }h are possible`,
      "without --timeout the guest runs as long as it likes",
    );
  }
  return ms;
}
