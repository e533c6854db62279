/**
 * Every fixed address of the x86 machine, with its reason. Called by the loaders, the renderers and, through
 * `mod.ts`, by the plan. Imports no loader: the vCPU side uses it too.
 */
import { BootError, type DeviceSlot, type RamRange } from "../types.ts";
import { sizeText } from "../bytes.ts";

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
export const PAGE = 4096;

/** RAM stops here, for the device windows and the APICs below 4 GiB; the rest of it goes on above. */
export const HOLE_START = 3 * GIB;
export const HOLE_END = 4 * GIB;
/** The extended BIOS data area starts 1 KiB below 640 KiB; Linux looks for an MP table there. */
export const EBDA = 0x9_fc00;
/** End of video memory and BIOS ROM. Kernels are loaded at or above it. */
export const HIGH_MEMORY = 1 * MIB;

// Low memory, all inside the usable range below the EBDA. Page 0 stays empty: real-mode vectors, BIOS data.
export const GDT = 0x1000;
/** struct hvm_start_info, then its module list and memory map: all within one page. */
export const START_INFO: RamRange = { base: 0x2000, size: PAGE };
/** struct boot_params is one page (arch/x86/include/uapi/asm/bootparam.h). */
export const ZERO_PAGE: RamRange = { base: 0x7000, size: PAGE };
/** 64 KiB: above any limit a kernel states (2048 on x86), and the check against that limit comes first. */
export const CMDLINE: RamRange = { base: 0x8000, size: 64 * KIB };
/** PML4, PDPT and 133 page directories: 4 GiB and 129 GiB of RAM above. 0x9f000..EBDA stays free. */
export const PAGE_TABLES: RamRange = { base: 0x1_8000, size: 0x8_7000 };

/** Where kernels that nobody tells look for ACPI's root pointer, at multiples of 16 (ACPI 6.5, 5.2.5.1). */
export const ACPI_TABLES: RamRange = { base: 0xe_0000, size: 0x1_e000 };
/** MP configuration table, in the BIOS area. */
export const MP_TABLE: RamRange = { base: 0xf_e000, size: 2 * PAGE };

/** First device window; the exit register and other words of our own. */
export const PLATFORM_PAGE: RamRange = { base: 0xd000_0000, size: PAGE };
export const VIRTIO_BASE = 0xd000_1000;
export const VIRTIO_SLOT_SIZE = 0x1000;
export const MAX_VIRTIO_SLOTS = 32;

/** Fixed by the in-kernel irqchip (arch/x86/include/asm/apicdef.h, io_apic.h). */
export const IOAPIC_BASE = 0xfec0_0000;
export const LAPIC_BASE = 0xfee0_0000;
/** For KVM_SET_IDENTITY_MAP_ADDR and KVM_SET_TSS_ADDR: 1 + 3 pages just below the BIOS area at 4 GiB - 256 KiB. */
export const IDENTITY_MAP_ADDRESS = 0xfffb_c000;
export const TSS_ADDRESS = 0xfffb_d000;

/**
 * Interrupt lines for virtio devices, best first. Kernels without an IOAPIC have only the ISA lines; 0, 1, 2, 4, 8
 * and 13 belong to PIT, keyboard, cascade, COM1, RTC and FPU, and 9, the SCI of a PC, is the power button's. Beyond
 * nine devices lines are shared: virtio-mmio asks for IRQF_SHARED (drivers/virtio/virtio_mmio.c vm_find_vqs).
 */
export const VIRTIO_LINES: readonly number[] = [5, 6, 10, 11, 12, 14, 7, 15, 3];

export const FIXED_SLOTS: readonly DeviceSlot[] = [
  { name: "com1", kind: "serial", space: "pio", base: 0x3f8, size: 8, gsi: 4 },
  { name: "pit", kind: "pit", space: "pio", base: 0x40, size: 4, gsi: 0 },
  { name: "pit-gate", kind: "pit-gate", space: "pio", base: 0x61, size: 1 },
  { name: "i8042", kind: "keyboard", space: "pio", base: 0x64, size: 1, gsi: 1 },
  { name: "rtc", kind: "rtc", space: "pio", base: 0x70, size: 2, gsi: 8 },
  { name: "exit", kind: "exit", space: "pio", base: 0xf4, size: 1 },
  {
    name: "platform",
    kind: "platform",
    space: "mmio",
    base: PLATFORM_PAGE.base,
    size: PLATFORM_PAGE.size,
    gsi: 9, // the power button
  },
];

/** RAM of `bytes`: up to 3 GiB from 0, what is left from 4 GiB. Throws `BootError` MEMORY_INVALID. */
export function ramRanges(bytes: number): RamRange[] {
  if (!Number.isSafeInteger(bytes) || bytes % PAGE !== 0) {
    throw new BootError(
      "MEMORY_INVALID",
      `Memory size ${bytes} is not a multiple of ${PAGE} bytes`,
    );
  }
  if (bytes < 2 * MIB) {
    throw new BootError(
      "MEMORY_INVALID",
      `Memory size ${
        sizeText(bytes)
      } is too small: the first MiB belongs to tables, so 2 MiB is the least`,
      "give the machine more memory with --mem 128M",
    );
  }
  const low = { base: 0, size: Math.min(bytes, HOLE_START) };
  return bytes <= HOLE_START ? [low] : [low, { base: HOLE_END, size: bytes - HOLE_START }];
}

/** e820 types (arch/x86/include/uapi/asm/e820 in bootparam.h; the same numbers in struct hvm_memmap_table_entry). */
export const E820_RAM = 1;
export const E820_RESERVED = 2;

export interface E820Entry {
  readonly base: number;
  readonly size: number;
  readonly type: number;
}

/** The memory map of a machine with `ram`: as a PC's firmware would tell it. */
export function e820(ram: readonly RamRange[]): E820Entry[] {
  const entries: E820Entry[] = [
    { base: 0, size: EBDA, type: E820_RAM },
    { base: EBDA, size: HIGH_MEMORY - EBDA, type: E820_RESERVED },
  ];
  for (const { base, size } of ram) {
    const start = Math.max(base, HIGH_MEMORY);
    if (base + size > start) {
      entries.push({ base: start, size: base + size - start, type: E820_RAM });
    }
  }
  return entries;
}

/** The interrupt line of virtio device `index`: unshared while lines last, then round robin. */
export function virtioLine(index: number): number {
  return VIRTIO_LINES[index % VIRTIO_LINES.length] as number; // the remainder is inside
}

/** The place of virtio device `index`. Throws `BootError` TOO_MANY_DEVICES. */
export function virtioSlot(index: number, name: string): DeviceSlot {
  if (!Number.isInteger(index) || index < 0 || index >= MAX_VIRTIO_SLOTS) {
    throw new BootError(
      "TOO_MANY_DEVICES",
      `Device '${name}' has no place: slot ${index} is not one of ${MAX_VIRTIO_SLOTS}`,
      `remove devices until ${MAX_VIRTIO_SLOTS} are left`,
    );
  }
  const base = VIRTIO_BASE + index * VIRTIO_SLOT_SIZE;
  return {
    name,
    kind: "virtio-mmio",
    space: "mmio",
    base,
    size: VIRTIO_SLOT_SIZE,
    gsi: virtioLine(index),
  };
}
