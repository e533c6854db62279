/**
 * What the 64-bit entry finds in memory: the zero page (struct boot_params, Documentation/x86/zero-page.rst), the
 * setup_data list, and long-mode page tables. Called by `boot.ts`.
 */
import type { BootMemory } from "../../memory/boot_memory.ts";
import { gpa } from "../../memory/guest_memory.ts";
import { putU64, roundUp, viewOf } from "../bytes.ts";
import type { RamRange } from "../types.ts";
import { SETUP_HEADER, SETUP_HEADER_START } from "./bzimage.ts";
import { type E820Entry, HOLE_END, PAGE, PAGE_TABLES, ZERO_PAGE } from "./memory_map.ts";

// struct boot_params (arch/x86/include/uapi/asm/bootparam.h).
const ACPI_RSDP_ADDR = 0x070;
const EXT_RAMDISK_IMAGE = 0x0c0;
const EXT_RAMDISK_SIZE = 0x0c4;
const EXT_CMD_LINE_PTR = 0x0c8;
const E820_ENTRIES = 0x1e8;
const E820_TABLE = 0x2d0;
const E820_ENTRY_SIZE = 20;
/** type_of_loader for loaders without a number of their own. */
const LOADER_UNDEFINED = 0xff;
const LOADED_HIGH = 1;
const BOOT_FLAG = 0xaa55;
/** "HdrS". */
const HEADER_MAGIC = 0x5372_6448;
/** The protocol we speak for kernels that bring no header (vmlinux reads it, never checks it). */
const VERSION_2_12 = 0x020c;
const DEFAULT_ALIGNMENT = 0x100_0000;

/** struct setup_data: next (u64), type, length, then the data. */
const SETUP_DATA_HEAD = 16;
export const SETUP_DTB = 2;
export const SETUP_RNG_SEED = 9;

export interface ZeroPageInput {
  /** A bzImage's own header; left out for vmlinux, which gets a fresh one. */
  readonly setupHeader?: Uint8Array;
  readonly cmdline: number;
  readonly initrd?: RamRange;
  readonly setupData?: number;
  readonly acpiRoot?: number;
  readonly e820: readonly E820Entry[];
}

/** Writes the zero page at its fixed place. */
export function writeZeroPage(memory: BootMemory, input: ZeroPageInput): void {
  const page = memory.view(gpa(ZERO_PAGE.base), ZERO_PAGE.size);
  page.fill(0);
  const view = viewOf(page);
  if (input.setupHeader !== undefined) page.set(input.setupHeader, SETUP_HEADER_START);
  else writeOwnHeader(view);
  view.setUint8(SETUP_HEADER.type_of_loader, LOADER_UNDEFINED);
  view.setUint8(SETUP_HEADER.loadflags, view.getUint8(SETUP_HEADER.loadflags) | LOADED_HIGH);
  putSplit(view, SETUP_HEADER.cmd_line_ptr, EXT_CMD_LINE_PTR, input.cmdline);
  putSplit(view, SETUP_HEADER.ramdisk_image, EXT_RAMDISK_IMAGE, input.initrd?.base ?? 0);
  putSplit(view, SETUP_HEADER.ramdisk_size, EXT_RAMDISK_SIZE, input.initrd?.size ?? 0);
  putU64(view, SETUP_HEADER.setup_data, input.setupData ?? 0);
  putU64(view, ACPI_RSDP_ADDR, input.acpiRoot ?? 0);
  view.setUint8(E820_ENTRIES, input.e820.length);
  input.e820.forEach((entry, i) => {
    const at = E820_TABLE + i * E820_ENTRY_SIZE;
    putU64(view, at, entry.base);
    putU64(view, at + 8, entry.size);
    view.setUint32(at + 16, entry.type, true);
  });
}

function writeOwnHeader(view: DataView): void {
  view.setUint16(SETUP_HEADER.boot_flag, BOOT_FLAG, true);
  view.setUint32(SETUP_HEADER.header, HEADER_MAGIC, true);
  view.setUint16(SETUP_HEADER.version, VERSION_2_12, true);
  view.setUint32(SETUP_HEADER.kernel_alignment, DEFAULT_ALIGNMENT, true);
}

/** Protocol 2.12 keeps the upper halves of three old fields at the front of the page. */
function putSplit(view: DataView, low: number, high: number, value: number): void {
  view.setUint32(low, value % 0x1_0000_0000, true);
  view.setUint32(high, Math.floor(value / 0x1_0000_0000), true);
}

/** One thing handed over beside the zero page. */
export interface SetupData {
  readonly type: number;
  readonly data: Uint8Array;
}

/** Bytes the list takes. */
export function setupDataSize(list: readonly SetupData[]): number {
  return list.reduce((sum, { data }) => sum + entrySize(data), 0);
}

/** Linux reads the fields in place: entries stay aligned. */
function entrySize(data: Uint8Array): number {
  return roundUp(SETUP_DATA_HEAD + data.length, 16);
}

/** Writes a setup_data list (Documentation/arch/x86/boot.rst; arch/x86/kernel/setup.c parse_setup_data). */
export function writeSetupData(memory: BootMemory, at: number, list: readonly SetupData[]): void {
  list.forEach(({ type, data }, i) => {
    const entry = memory.view(gpa(at), entrySize(data));
    const view = viewOf(entry);
    const next = at + entrySize(data);
    putU64(view, 0, i + 1 < list.length ? next : 0);
    view.setUint32(8, type, true);
    view.setUint32(12, data.length, true);
    entry.set(data, SETUP_DATA_HEAD);
    at = next;
  });
}

const PTE_PRESENT_WRITABLE = 0x3;
const PTE_LARGE = 0x80;
const LARGE_PAGE = 2 ** 21;
const ENTRIES = 512;
const GIB = 2 ** 30;

/**
 * Identity page tables with 2 MiB pages (1 GiB pages are a feature bit, these are not): 0..4 GiB, so that our own
 * bare-metal guests reach devices too, and the RAM above as far as the tables' place goes. Linux replaces them
 * before it looks beyond its own image.
 */
export function writePageTables(memory: BootMemory, ram: readonly RamRange[]): void {
  const tables = viewOf(memory.view(gpa(PAGE_TABLES.base), PAGE_TABLES.size));
  const end = Math.max(HOLE_END, ...ram.map(({ base, size }) => base + size));
  const room = PAGE_TABLES.size / PAGE - 2;
  const directories = Math.min(roundUp(end, GIB) / GIB, room);
  const pointers = PAGE;
  putU64(tables, 0, PAGE_TABLES.base + pointers + PTE_PRESENT_WRITABLE);
  for (let i = 0; i < directories; i++) {
    const directory = (2 + i) * PAGE;
    putU64(tables, pointers + i * 8, PAGE_TABLES.base + directory + PTE_PRESENT_WRITABLE);
    for (let j = 0; j < ENTRIES; j++) {
      const address = i * GIB + j * LARGE_PAGE;
      if (address >= end) return;
      putU64(tables, directory + j * 8, address + PTE_PRESENT_WRITABLE + PTE_LARGE);
    }
  }
}
