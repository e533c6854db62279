/** Sizes as options have them. */
import { ConfigError } from "./errors.ts";

/** Bytes, or a number with a unit; K, M and G are powers of 1024. */
export type Size = number | `${number}${"K" | "M" | "G" | "KiB" | "MiB" | "GiB"}`;

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** Bytes. Throws ConfigError. */
export function sizeOf(field: string, size: Size): number {
  const [, digits = "", unit] = /^(\d+(?:\.\d+)?)([KMG])(?:iB)?$/.exec(String(size)) ?? [];
  const bytes = typeof size === "number"
    ? size
    : Number(digits || NaN) * (UNITS[unit ?? ""] ?? NaN);
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new ConfigError(field, `Cannot use ${field} "${size}": it is no size`, "SIZE_INVALID", {
    hint: 'write a number of bytes, or "256MiB"',
  });
}
