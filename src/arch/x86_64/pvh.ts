/**
 * What the PVH entry finds in memory: struct hvm_start_info version 1 with module list and memory map
 * (include/xen/interface/hvm/start_info.h; read by arch/x86/platform/pvh/enlighten.c). Called by `boot.ts`.
 */
import type { BootMemory } from "../../memory/boot_memory.ts";
import { gpa } from "../../memory/guest_memory.ts";
import { packedStruct, u32, u64 } from "../../abi/struct.ts";
import { putU64, viewOf } from "../bytes.ts";
import type { RamRange } from "../types.ts";
import { type E820Entry, START_INFO } from "./memory_map.ts";

const XEN_HVM_START_MAGIC_VALUE = 0x336e_c578;
/** Version 1 is the first with a memory map, without which Linux stops (init_pvh_bootparams). */
const VERSION = 1;

const hvm_start_info = packedStruct("struct hvm_start_info", {
  magic: u32,
  version: u32,
  flags: u32,
  nr_modules: u32,
  modlist_paddr: u64,
  cmdline_paddr: u64,
  rsdp_paddr: u64,
  memmap_paddr: u64,
  memmap_entries: u32,
  reserved: u32,
});
const hvm_modlist_entry = packedStruct("struct hvm_modlist_entry", {
  paddr: u64,
  size: u64,
  cmdline_paddr: u64,
  reserved: u64,
});
const hvm_memmap_table_entry = packedStruct("struct hvm_memmap_table_entry", {
  addr: u64,
  size: u64,
  type: u32,
  reserved: u32,
});

const MODLIST = hvm_start_info.size + 8; // 64: everything stays aligned to 8
const MEMMAP = MODLIST + hvm_modlist_entry.size;

export interface StartInfoInput {
  readonly cmdline: number;
  readonly initrd?: RamRange;
  readonly acpiRoot?: number;
  readonly e820: readonly E820Entry[];
}

/** Writes start_info at its fixed place. It lies below 1 GiB, which is all the kernel has mapped when it reads it. */
export function writeStartInfo(memory: BootMemory, input: StartInfoInput): void {
  const page = memory.view(gpa(START_INFO.base), START_INFO.size);
  page.fill(0);
  const view = viewOf(page);
  const { at } = hvm_start_info;
  view.setUint32(at.magic, XEN_HVM_START_MAGIC_VALUE, true);
  view.setUint32(at.version, VERSION, true);
  putU64(view, at.cmdline_paddr, input.cmdline);
  putU64(view, at.rsdp_paddr, input.acpiRoot ?? 0);
  putU64(view, at.memmap_paddr, START_INFO.base + MEMMAP);
  view.setUint32(at.memmap_entries, input.e820.length, true);
  if (input.initrd !== undefined) {
    // The first module is always the initrd (init_pvh_bootparams).
    view.setUint32(at.nr_modules, 1, true);
    putU64(view, at.modlist_paddr, START_INFO.base + MODLIST);
    putU64(view, MODLIST + hvm_modlist_entry.at.paddr, input.initrd.base);
    putU64(view, MODLIST + hvm_modlist_entry.at.size, input.initrd.size);
  }
  input.e820.forEach((entry, i) => {
    const row = MEMMAP + i * hvm_memmap_table_entry.size;
    putU64(view, row + hvm_memmap_table_entry.at.addr, entry.base);
    putU64(view, row + hvm_memmap_table_entry.at.size, entry.size);
    view.setUint32(row + hvm_memmap_table_entry.at.type, entry.type, true);
  });
}
