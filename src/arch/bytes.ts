/**
 * Little-endian 64-bit numbers without BigInt, and the words messages use for sizes and addresses.
 * Called by every loader and encoder of `src/arch`.
 */

const TWO_32 = 0x1_0000_0000;

/** A view of exactly the bytes of `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Reads a 64-bit value. At 2**53 and above it is rounded: test with `Number.isSafeInteger` where that matters. */
export function u64At(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * TWO_32 + view.getUint32(offset, true);
}

/** Writes a 64-bit value below 2**53 as two halves. */
export function putU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value % TWO_32, true);
  view.setUint32(offset + 4, Math.floor(value / TWO_32), true);
}

/** The byte at `index`, 0 beyond the end: magic numbers of short files simply do not match. */
export function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}

/** Whether `bytes` holds `pattern` at `offset`; text is compared as Latin-1. */
export function hasAt(
  bytes: Uint8Array,
  offset: number,
  pattern: string | readonly number[],
): boolean {
  if (offset + pattern.length > bytes.length) return false;
  for (let i = 0; i < pattern.length; i++) {
    const wanted = typeof pattern === "string" ? pattern.charCodeAt(i) : pattern[i];
    if (bytes[offset + i] !== wanted) return false;
  }
  return true;
}

/** `value` rounded up to a multiple of `step`. Division, not masks: values go beyond 32 bits. */
export function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

/** `value` rounded down to a multiple of `step`. */
export function roundDown(value: number, step: number): number {
  return Math.floor(value / step) * step;
}

/** `0x1000000`. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** `70 MiB`, `1.5 GiB`, `12 bytes`: at most one decimal. */
export function sizeText(bytes: number): string {
  if (bytes === 1) return "1 byte";
  for (const [unit, step] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]] as const) {
    if (bytes >= step) return `${Number((bytes / step).toFixed(1))} ${unit}`;
  }
  return `${bytes} bytes`;
}
