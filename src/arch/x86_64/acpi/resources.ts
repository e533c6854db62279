/** Resource templates (ACPI 6.5, 6.4): what a device occupies, as `_CRS` says it. Used by `dsdt.ts`. */
import { type Aml, buffer, littleEndian } from "./aml.ts";

// 6.4.2 and 6.4.3: first bytes of the descriptors, large ones followed by their length.
const IO_PORT = 0x47;
const END_TAG = 0x79;
const MEMORY32_FIXED = [0x86, 9, 0];
const EXTENDED_INTERRUPT = [0x89, 6, 0];
const READ_WRITE = 1;
const DECODE_16 = 1;
// Table 6.56: the device takes the interrupt; an edge; polarity 0 is active high.
const CONSUMER = 0x01;
const EDGE = 0x02;
const SHARED = 0x08;
/** Any checksum is right when this one stands there (6.4.2.9). */
const NO_CHECKSUM = 0;

/** `ResourceTemplate () {…}`. */
export function resourceTemplate(...descriptors: readonly Aml[]): Aml {
  return buffer([...descriptors.flat(), END_TAG, NO_CHECKSUM]);
}

/** `Memory32Fixed (ReadWrite, base, size)` (6.4.3.4). */
export function memory32Fixed(base: number, size: number): Aml {
  return [...MEMORY32_FIXED, READ_WRITE, ...littleEndian(base, 4), ...littleEndian(size, 4)];
}

/** `IO (Decode16, base, base, 1, size)` (6.4.2.5). */
export function ioPorts(base: number, size: number): Aml {
  const first = littleEndian(base, 2);
  return [IO_PORT, DECODE_16, ...first, ...first, 1, size];
}

/** `Interrupt (ResourceConsumer, Edge, ActiveHigh, …) {gsi}` (6.4.3.6): an irqfd pulse is a rising edge. */
export function interrupt(gsi: number, sharing: "exclusive" | "shared"): Aml {
  const flags = CONSUMER | EDGE | (sharing === "shared" ? SHARED : 0);
  return [...EXTENDED_INTERRUPT, flags, 1, ...littleEndian(gsi, 4)];
}
