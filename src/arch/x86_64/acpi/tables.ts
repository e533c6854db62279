/**
 * The ACPI tables of a hardware-reduced machine (ACPI 6.5, chapter 5 and 4.1): RSDP, XSDT, FADT, MADT and DSDT, one
 * after the other, all from the same device tree. Called through `mod.ts`.
 */
import {
  PLATFORM_RESET,
  PLATFORM_RESET_VALUE,
  PLATFORM_SLEEP_CONTROL,
  PLATFORM_SLEEP_STATUS,
} from "../../../abi/platform.ts";
import { hex, putU64, sizeText, viewOf } from "../../bytes.ts";
import { type AcpiRequest, type AcpiTables, BootError } from "../../types.ts";
import { ACPI_TABLES, IOAPIC_BASE, LAPIC_BASE, PLATFORM_PAGE } from "../memory_map.ts";
import { type Aml, littleEndian } from "./aml.ts";
import { dsdtTerms, MAX_NUMBERED } from "./dsdt.ts";

/** Local APIC entries of the MADT have 8-bit ids, and 255 is everybody (5.2.12.2, 5.2.12.7). */
const MAX_LOCAL_APICS = 255;
const EVERY_PROCESSOR = 0xff;

const OEM_ID = "DINOVI";
const OEM_TABLE_ID = "DINOVISR";
const OEM_REVISION = 1;
const CREATOR_ID = "DINO";
const CREATOR_REVISION = 1;

/** 5.2.5.3: RSDPs start at multiples of 16; the others need no more. */
const ALIGNMENT = 16;
const RSDP_SIZE = 36;
/** The part that ACPI 1.0 knew, with a checksum of its own. */
const RSDP_V1_SIZE = 20;
const RSDP_REVISION = 2;
const HEADER_SIZE = 36;
const XSDT_REVISION = 1;
/** 64-bit integers (19.6.29). */
const DSDT_REVISION = 2;
const MADT_REVISION = 6;

// The FADT, table 5.9: ACPI 6.5 is revision 6.5.
const FADT_REVISION = 6;
const FADT_MINOR_VERSION = 5;
const FADT_SIZE = 276;
const FADT = {
  DSDT: 40,
  P_LVL2_LAT: 96,
  P_LVL3_LAT: 98,
  CENTURY: 108,
  IAPC_BOOT_ARCH: 109,
  FLAGS: 112,
  RESET_REG: 116,
  RESET_VALUE: 128,
  MINOR_VERSION: 131,
  X_DSDT: 140,
  SLEEP_CONTROL_REG: 244,
  SLEEP_STATUS_REG: 256,
  HYPERVISOR_VENDOR: 268,
} as const;
// 5.2.3.2: address space and access size of a Generic Address Structure.
const SYSTEM_MEMORY = 0;
const BYTE_ACCESS = 1;
/** Above these latencies a processor has no C2 and no C3. */
const NO_C2 = 101;
const NO_C3 = 1001;
/** devices/legacy/rtc.ts keeps it there. */
const RTC_CENTURY = 0x32;
/**
 * Table 5.11. VGA is not there; the clock is, so CMOS_RTC_NOT_PRESENT stays clear. No LEGACY_DEVICES: all there are
 * stand in the DSDT. No 8042: ours only resets, and a driver that looks for a keyboard loses time.
 */
const VGA_NOT_PRESENT = 1 << 2;
// Table 5.10.
const WBINVD = 1 << 0;
const PROC_C1 = 1 << 2;
const PWR_BUTTON = 1 << 4; // not in fixed hardware
const SLP_BUTTON = 1 << 5; // likewise
const FIX_RTC = 1 << 6; // likewise its wake-up
const RESET_REG_SUP = 1 << 10;
const HEADLESS = 1 << 12;
const HW_REDUCED_ACPI = 1 << 20;
const FADT_FLAGS = WBINVD | PROC_C1 | PWR_BUTTON | SLP_BUTTON | FIX_RTC | RESET_REG_SUP |
  HEADLESS | HW_REDUCED_ACPI;

// The MADT's entries, 5.2.12.
const LOCAL_APIC = 0;
const IO_APIC = 1;
const LOCAL_APIC_NMI = 4;
const ENABLED = 1;
/** KVM's irqchip has two 8259s; whoever uses the IOAPIC has to mask them. */
const PCAT_COMPAT = 1;
/** What KVM's IOAPIC says in its id register after reset. */
const IOAPIC_ID = 0;
const LINT1 = 1;

/** Renders the tables for their fixed place. Throws `BootError` ACPI_TOO_BIG. */
export function renderAcpi({ vcpus, devices }: AcpiRequest): AcpiTables {
  if (vcpus > MAX_LOCAL_APICS || devices.length > MAX_NUMBERED) {
    throw tooBig(`${vcpus} processors and ${devices.length} devices`);
  }
  const area: number[] = [];
  const root = append(area, new Uint8Array(RSDP_SIZE)); // filled in last: it points to the rest
  const dsdt = append(area, table("DSDT", DSDT_REVISION, dsdtTerms(vcpus, devices)));
  const fadt = append(area, fadtOf(dsdt));
  const madt = append(area, table("APIC", MADT_REVISION, madtBody(vcpus)));
  const pointers = [...littleEndian(fadt, 8), ...littleEndian(madt, 8)];
  const xsdt = append(area, table("XSDT", XSDT_REVISION, pointers));
  if (area.length > ACPI_TABLES.size) throw tooBig(`${sizeText(area.length)} of tables`);
  const bytes = Uint8Array.from(area);
  bytes.set(rsdpOf(xsdt));
  return { root, bytes };
}

function tooBig(what: string): BootError {
  return new BootError(
    "ACPI_TOO_BIG",
    `ACPI has no room for ${what} in the ${sizeText(ACPI_TABLES.size)} at ${hex(ACPI_TABLES.base)}`,
    "give the machine fewer processors or devices",
  );
}

/** Puts `part` behind what is there; returns its address. */
function append(area: number[], part: Uint8Array): number {
  while (area.length % ALIGNMENT !== 0) area.push(0);
  const address = ACPI_TABLES.base + area.length;
  for (const byte of part) area.push(byte);
  return address;
}

/** 5.2.5.3. The 32-bit RSDT is left out: whoever reads revision 2 takes the XSDT. */
function rsdpOf(xsdt: number): Uint8Array {
  const bytes = new Uint8Array(RSDP_SIZE);
  const view = viewOf(bytes);
  putText(bytes, 0, "RSD PTR ");
  putText(bytes, 9, OEM_ID);
  view.setUint8(15, RSDP_REVISION);
  view.setUint32(20, RSDP_SIZE, true);
  putU64(view, 24, xsdt);
  view.setUint8(8, checksum(bytes.subarray(0, RSDP_V1_SIZE)));
  view.setUint8(32, checksum(bytes));
  return bytes;
}

/** A table with its header (5.2.6). */
function table(signature: string, revision: number, body: Aml): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + body.length);
  const view = viewOf(bytes);
  putText(bytes, 0, signature);
  view.setUint32(4, bytes.length, true);
  view.setUint8(8, revision);
  putText(bytes, 10, OEM_ID);
  putText(bytes, 16, OEM_TABLE_ID);
  view.setUint32(24, OEM_REVISION, true);
  putText(bytes, 28, CREATOR_ID);
  view.setUint32(32, CREATOR_REVISION, true);
  bytes.set(body, HEADER_SIZE);
  view.setUint8(9, checksum(bytes));
  return bytes;
}

/** 5.2.9. Everything about fixed hardware stays 0, the FACS too: there is none (table 5.9, FIRMWARE_CTRL). */
function fadtOf(dsdt: number): Uint8Array {
  const body = new Uint8Array(FADT_SIZE - HEADER_SIZE);
  const view = viewOf(body);
  const at = (offset: number) => offset - HEADER_SIZE;
  view.setUint32(at(FADT.DSDT), dsdt, true);
  view.setUint16(at(FADT.P_LVL2_LAT), NO_C2, true);
  view.setUint16(at(FADT.P_LVL3_LAT), NO_C3, true);
  view.setUint8(at(FADT.CENTURY), RTC_CENTURY);
  view.setUint16(at(FADT.IAPC_BOOT_ARCH), VGA_NOT_PRESENT, true);
  view.setUint32(at(FADT.FLAGS), FADT_FLAGS, true);
  body.set(platformRegister(PLATFORM_RESET), at(FADT.RESET_REG));
  view.setUint8(at(FADT.RESET_VALUE), PLATFORM_RESET_VALUE);
  view.setUint8(at(FADT.MINOR_VERSION), FADT_MINOR_VERSION);
  putU64(view, at(FADT.X_DSDT), dsdt);
  // All three registers in one page: Linux keeps the reset register's page mapped (osl.c acpi_os_initialize) and
  // finds the others in it at the end, when interrupts are off and nothing can be mapped any more.
  body.set(platformRegister(PLATFORM_SLEEP_CONTROL), at(FADT.SLEEP_CONTROL_REG));
  body.set(platformRegister(PLATFORM_SLEEP_STATUS), at(FADT.SLEEP_STATUS_REG));
  putText(body, at(FADT.HYPERVISOR_VENDOR), OEM_TABLE_ID);
  return table("FACP", FADT_REVISION, [...body]);
}

/** Generic Address Structure (5.2.3.2) of a byte in the platform page. */
function platformRegister(offset: number): Aml {
  return [SYSTEM_MEMORY, 8, 0, BYTE_ACCESS, ...littleEndian(PLATFORM_PAGE.base + offset, 8)];
}

/**
 * 5.2.12. Processor n has local APIC id n, as KVM gives it. No interrupt source overrides: KVM wires line n to pin n,
 * and the DSDT says edge or level itself.
 */
function madtBody(vcpus: number): Aml {
  const processors = Array.from(
    { length: vcpus },
    (_, id) => [LOCAL_APIC, 8, id, id, ...littleEndian(ENABLED, 4)],
  );
  return [
    ...littleEndian(LAPIC_BASE, 4),
    ...littleEndian(PCAT_COMPAT, 4),
    ...processors.flat(),
    ...[IO_APIC, 12, IOAPIC_ID, 0, ...littleEndian(IOAPIC_BASE, 4), ...littleEndian(0, 4)],
    ...[LOCAL_APIC_NMI, 6, EVERY_PROCESSOR, ...littleEndian(0, 2), LINT1],
  ];
}

function putText(bytes: Uint8Array, at: number, text: string): void {
  bytes.set(new TextEncoder().encode(text), at);
}

/** What makes all bytes sum to 0 modulo 256 (5.2.5.3, 5.2.6). */
function checksum(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}
