/**
 * The MP table (Intel MultiProcessor Specification 1.4, chapter 4): processors, IOAPIC and ISA lines for kernels
 * without ACPI. It saves time as well: a kernel that finds none where it looks first goes on to map and compare
 * 4096 places of the BIOS area (arch/x86/kernel/mpparse.c smp_scan_config), seconds where ring 0 is emulated.
 * Called by `boot.ts`.
 */
import type { BootMemory } from "../../memory/boot_memory.ts";
import { gpa } from "../../memory/guest_memory.ts";
import { viewOf } from "../bytes.ts";
import { EBDA, IOAPIC_BASE, LAPIC_BASE, MP_TABLE } from "./memory_map.ts";

/** 8-bit APIC ids; 255 is broadcast and the IOAPIC needs one. */
export const MAX_MP_VCPUS = 254;
const SPEC_REVISION = 4;
const POINTER_SIZE = 16;
const HEADER_SIZE = 44;
const PROCESSOR_SIZE = 20;
const ENTRY_SIZE = 8;
const ISA_LINES = 16;

// Entry types (table 4-3).
const PROCESSOR = 0;
const BUS = 1;
const IOAPIC = 2;
const IO_INTERRUPT = 3;
const LOCAL_INTERRUPT = 4;
// Interrupt types (table 4-11).
const INT = 0;
const NMI = 1;
const EXTINT = 3;
const LAPIC_VERSION = 0x14;
const IOAPIC_VERSION = 0x11;
const ENABLED = 1;
const BOOT_PROCESSOR = 2;
/** Stepping, model, family 6; FPU and APIC on chip: what a kernel reads here it also reads from CPUID. */
const SIGNATURE = 0x600;
const FEATURES = 0x201;
const ALL_LAPICS = 0xff;

/** Writes pointer and table for `vcpus` processors, 1 to MAX_MP_VCPUS; more are told by ACPI only. */
export function writeMpTable(memory: BootMemory, vcpus: number): void {
  const count = Math.min(vcpus, MAX_MP_VCPUS);
  const table = mpTable(count);
  memory.write(gpa(MP_TABLE.base), table);
  const pointer = new Uint8Array(POINTER_SIZE);
  const view = viewOf(pointer);
  putText(pointer, 0, "_MP_");
  view.setUint32(4, MP_TABLE.base, true);
  view.setUint8(8, POINTER_SIZE / 16);
  view.setUint8(9, SPEC_REVISION);
  view.setUint8(10, checksum(pointer)); // feature bytes stay 0: a table follows, virtual wire mode
  memory.write(gpa(EBDA), pointer);
}

function mpTable(vcpus: number): Uint8Array {
  const entries = vcpus + 2 + ISA_LINES + 2;
  const bytes = new Uint8Array(
    HEADER_SIZE + vcpus * PROCESSOR_SIZE + (entries - vcpus) * ENTRY_SIZE,
  );
  const view = viewOf(bytes);
  putText(bytes, 0, "PCMP");
  view.setUint16(4, bytes.length, true);
  view.setUint8(6, SPEC_REVISION);
  putText(bytes, 8, "DINOVISO");
  putText(bytes, 16, "MICROVM     ");
  view.setUint16(34, entries, true);
  view.setUint32(36, LAPIC_BASE, true);
  let at = HEADER_SIZE;
  for (let id = 0; id < vcpus; id++) {
    bytes.set([PROCESSOR, id, LAPIC_VERSION, ENABLED | (id === 0 ? BOOT_PROCESSOR : 0)], at);
    view.setUint32(at + 4, SIGNATURE, true);
    view.setUint32(at + 8, FEATURES, true);
    at += PROCESSOR_SIZE;
  }
  bytes.set([BUS, 0], at);
  putText(bytes, at + 2, "ISA   ");
  at += ENTRY_SIZE;
  const ioapic = vcpus;
  bytes.set([IOAPIC, ioapic, IOAPIC_VERSION, ENABLED], at);
  view.setUint32(at + 4, IOAPIC_BASE, true);
  at += ENTRY_SIZE;
  // KVM's default routing: line n is IOAPIC pin n, the timer too. Flags 0: as on ISA, edge, active high.
  for (let line = 0; line < ISA_LINES; line++) {
    bytes.set([IO_INTERRUPT, INT, 0, 0, 0, line, ioapic, line], at);
    at += ENTRY_SIZE;
  }
  bytes.set([LOCAL_INTERRUPT, EXTINT, 0, 0, 0, 0, 0, 0], at);
  bytes.set([LOCAL_INTERRUPT, NMI, 0, 0, 0, 0, ALL_LAPICS, 1], at + ENTRY_SIZE);
  view.setUint8(7, checksum(bytes));
  return bytes;
}

function putText(bytes: Uint8Array, at: number, text: string): void {
  bytes.set(new TextEncoder().encode(text), at);
}

/** What makes all bytes sum to 0 modulo 256 (4.1, 4.2). */
function checksum(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}
