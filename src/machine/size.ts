/** Sizes of memory and disks as people write them. Pure. */

/** Powers of 1024, however the unit is written: M, MB and MiB are the same. */
const BYTES: Readonly<Record<string, number>> = {
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/** Bytes in `512M`, `1.5GiB` or `64kb`, not always whole ones; undefined when that is no size. */
export function bytesIn(text: string): number | undefined {
  const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?)([KMGT])(?:i?B)?$/i.exec(text) ?? [];
  const bytes = BYTES[unit.toUpperCase()];
  return bytes === undefined ? undefined : Number(digits) * bytes;
}
