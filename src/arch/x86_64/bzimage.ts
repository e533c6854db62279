/**
 * bzImage kernels (Documentation/x86/boot.rst): found by their setup header, entered at the 64-bit entry. The kernel
 * unpacks itself. Called by `boot.ts`.
 */
import type { BootMemory } from "../../memory/boot_memory.ts";
import { gpa } from "../../memory/guest_memory.ts";
import { byteAt, hasAt, hex, roundUp, u64At, viewOf } from "../bytes.ts";
import { BootError, type ImageSource } from "../types.ts";
import { HIGH_MEMORY } from "./memory_map.ts";

/** Offsets in the file of struct setup_header's fields, which are their offsets in struct boot_params too. */
export const SETUP_HEADER = {
  setup_sects: 0x1f1,
  syssize: 0x1f4,
  vid_mode: 0x1fa,
  boot_flag: 0x1fe,
  jump: 0x200,
  header: 0x202,
  version: 0x206,
  kernel_version: 0x20e,
  type_of_loader: 0x210,
  loadflags: 0x211,
  ramdisk_image: 0x218,
  ramdisk_size: 0x21c,
  cmd_line_ptr: 0x228,
  initrd_addr_max: 0x22c,
  kernel_alignment: 0x230,
  relocatable_kernel: 0x234,
  xloadflags: 0x236,
  cmdline_size: 0x238,
  payload_offset: 0x248,
  payload_length: 0x24c,
  setup_data: 0x250,
  pref_address: 0x258,
  init_size: 0x260,
} as const;
export const SETUP_HEADER_START = 0x1f1;
/** The header may not grow into the e820 table behind it (boot_params.edd_mbr_sig_buffer). */
const SETUP_HEADER_LIMIT = 0x290;
const HEADER_BYTES = 0x290;
const SECTOR = 512;
/** xloadflags came with protocol 2.12, Linux 3.8. */
const VERSION_2_12 = 0x020c;
const XLF_KERNEL_64 = 1;
const LOADED_HIGH = 1;
/** boot.rst: the 64-bit entry stands 0x200 behind the start of the loaded kernel. */
const ENTRY_64_OFFSET = 0x200;
/** Longest kernel version text we repeat in a message. */
const MAX_VERSION_TEXT = 128;

export interface BzImage {
  /** Bytes SETUP_HEADER_START.. of the file, to be copied into the zero page. */
  readonly setupHeader: Uint8Array;
  readonly kernelVersion: string;
  /** Where the protected-mode part stands in the file, and its length. */
  readonly fileOffset: number;
  readonly fileSize: number;
  /** Where the compressed vmlinux stands in the file; empty when the header names none. */
  readonly payload: { readonly offset: number; readonly size: number };
  readonly loadAddress: number;
  /** Bytes from `loadAddress` the kernel uses before it knows the memory map. */
  readonly memorySize: number;
  readonly entry: number;
  readonly cmdlineMax: number;
  readonly initrdMax: number;
}

/** Whether `head` (at least the first 0x206 bytes of a file) is a Linux boot image of any protocol. */
export function hasSetupHeader(head: Uint8Array): boolean {
  return hasAt(head, SETUP_HEADER.boot_flag, [0x55, 0xaa]) &&
    hasAt(head, SETUP_HEADER.header, "HdrS");
}

/** Reads and checks the setup header. The caller has seen `hasSetupHeader`. Throws `BootError`. */
export function parseBzImage(source: ImageSource): BzImage {
  if (source.size < HEADER_BYTES) throw truncated(source, "the setup header", HEADER_BYTES);
  const head = new Uint8Array(HEADER_BYTES);
  source.read(0, head);
  const view = viewOf(head);
  checkProtocol(source, view);
  // boot.rst: 0 means 4, for images older than the field.
  const setupSize = ((byteAt(head, SETUP_HEADER.setup_sects) || 4) + 1) * SECTOR;
  const fileSize = protectedModeSize(source, view, setupSize);
  const loadAddress = loadAddressOf(source, view);
  const initSize = view.getUint32(SETUP_HEADER.init_size, true);
  const headerEnd = SETUP_HEADER.header + byteAt(head, SETUP_HEADER.jump + 1);
  if (headerEnd < SETUP_HEADER.init_size + 4 || headerEnd > SETUP_HEADER_LIMIT) {
    throw corrupt(source, `its setup header ends at ${hex(headerEnd)}`);
  }
  return {
    setupHeader: head.slice(SETUP_HEADER_START, headerEnd),
    kernelVersion: versionText(source, view, setupSize),
    fileOffset: setupSize,
    fileSize,
    // boot.rst: the offset counts from the protected-mode part; protectedModeSize() has checked that it is inside.
    payload: {
      offset: setupSize + view.getUint32(SETUP_HEADER.payload_offset, true),
      size: view.getUint32(SETUP_HEADER.payload_length, true),
    },
    loadAddress,
    memorySize: Math.max(initSize, fileSize),
    entry: loadAddress + ENTRY_64_OFFSET,
    cmdlineMax: view.getUint32(SETUP_HEADER.cmdline_size, true),
    initrdMax: view.getUint32(SETUP_HEADER.initrd_addr_max, true),
  };
}

/** Reads the protected-mode part straight into guest memory. The caller has checked that it fits. */
export function loadBzImage(source: ImageSource, image: BzImage, memory: BootMemory): void {
  source.read(image.fileOffset, memory.view(gpa(image.loadAddress), image.fileSize));
}

function checkProtocol(source: ImageSource, view: DataView): void {
  const version = view.getUint16(SETUP_HEADER.version, true);
  const text = `${version >>> 8}.${(version & 0xff).toString().padStart(2, "0")}`;
  if (version < VERSION_2_12) {
    throw new BootError(
      "KERNEL_FORMAT",
      `Kernel '${source.name}' speaks boot protocol ${text}, 2.12 (Linux 3.8) is the oldest with a 64-bit entry`,
      "use a newer kernel",
    );
  }
  if ((view.getUint16(SETUP_HEADER.xloadflags, true) & XLF_KERNEL_64) === 0) {
    throw new BootError(
      "KERNEL_ARCH",
      `Kernel '${source.name}' is a bzImage without a 64-bit entry, so it is a 32-bit kernel`,
      "use a kernel built for x86-64 (CONFIG_64BIT=y)",
    );
  }
  if ((view.getUint8(SETUP_HEADER.loadflags) & LOADED_HIGH) === 0) {
    throw new BootError(
      "KERNEL_FORMAT",
      `Kernel '${source.name}' is a zImage that wants to be loaded below 1 MiB`,
      "build it as a bzImage",
    );
  }
}

/** Bytes of the protected-mode part. Signed kernels carry more behind it, which is not loaded. */
function protectedModeSize(source: ImageSource, view: DataView, setupSize: number): number {
  const syssize = view.getUint32(SETUP_HEADER.syssize, true) * 16;
  if (syssize === 0) throw corrupt(source, "its protected-mode part is empty");
  // syssize is rounded up to 16 bytes, and not every image is padded to it.
  if (setupSize + syssize - 15 > source.size) {
    throw truncated(source, "the protected-mode part", setupSize + syssize);
  }
  const size = Math.min(syssize, source.size - setupSize);
  const payloadEnd = view.getUint32(SETUP_HEADER.payload_offset, true) +
    view.getUint32(SETUP_HEADER.payload_length, true);
  if (payloadEnd > size) throw truncated(source, "the compressed kernel", setupSize + payloadEnd);
  return size;
}

/**
 * Always the preferred address, rounded up if the kernel can move: a relocatable kernel that is put elsewhere moves
 * itself to or above it anyway (arch/x86/boot/compressed/head_64.S), so another place saves no memory.
 */
function loadAddressOf(source: ImageSource, view: DataView): number {
  const preferred = u64At(view, SETUP_HEADER.pref_address);
  const alignment = view.getUint32(SETUP_HEADER.kernel_alignment, true);
  const relocatable = view.getUint8(SETUP_HEADER.relocatable_kernel) !== 0;
  if (!Number.isSafeInteger(preferred) || preferred < HIGH_MEMORY) {
    throw corrupt(source, `it prefers address ${hex(preferred)}, below 1 MiB or beyond any memory`);
  }
  if (!relocatable) return preferred;
  if (alignment === 0 || (alignment & (alignment - 1)) !== 0) {
    throw corrupt(source, `its alignment ${hex(alignment)} is not a power of two`);
  }
  return roundUp(preferred, alignment);
}

/** `6.1.0-18-cloud-amd64`: the first word of the text the header points to; empty if there is none. */
function versionText(source: ImageSource, view: DataView, setupSize: number): string {
  const pointer = view.getUint16(SETUP_HEADER.kernel_version, true);
  const at = SECTOR + pointer;
  if (pointer === 0 || at >= setupSize) return "";
  const bytes = new Uint8Array(Math.min(MAX_VERSION_TEXT, setupSize - at, source.size - at));
  source.read(at, bytes);
  let text = "";
  for (const byte of bytes) {
    if (byte <= 0x20 || byte >= 0x7f) break; // text from a stranger's file goes to a terminal: printable only
    text += String.fromCharCode(byte);
  }
  return text;
}

function truncated(source: ImageSource, what: string, end: number): BootError {
  return new BootError(
    "KERNEL_TRUNCATED",
    `Kernel '${source.name}' is truncated: ${what} needs bytes up to ${end}, the file has ${source.size}`,
    "copy or download the file again",
  );
}

function corrupt(source: ImageSource, why: string): BootError {
  return new BootError(
    "KERNEL_CORRUPT",
    `Kernel '${source.name}' is not a valid bzImage: ${why}`,
    "build or download the kernel again",
  );
}
