/** Sizes as options have them. */
import { bytesIn } from "../machine/size.ts";
import { ConfigError } from "./errors.ts";

/** Bytes, or a number with a unit; K, M and G are powers of 1024. */
export type Size = number | `${number}${"K" | "M" | "G" | "KiB" | "MiB" | "GiB"}`;

/** Bytes. Throws ConfigError. */
export function sizeOf(field: string, size: Size): number {
  const bytes = typeof size === "number" ? size : bytesIn(size) ?? NaN;
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new ConfigError(field, `Cannot use ${field} "${size}": it is no size`, "SIZE_INVALID", {
    hint: 'write a number of bytes, or "256MiB"',
  });
}
