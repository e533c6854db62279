/**
 * ELF kernels (System V gABI chapters 4 and 5): vmlinux and anything else linked for a fixed physical address.
 * Everything in the file is checked against the file's size before it is used. Called by `boot.ts`.
 */
import type { BootMemory } from "../../memory/boot_memory.ts";
import { gpa } from "../../memory/guest_memory.ts";
import { byteAt, hex, roundUp, u64At, viewOf } from "../bytes.ts";
import { BootError, type BootErrorCode, type ImageSource } from "../types.ts";
import { HIGH_MEMORY } from "./memory_map.ts";

// include/uapi/linux/elf.h.
const ELFCLASS32 = 1;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_386 = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_NOTE = 4;
const PT_TLS = 7;
/** include/xen/interface/elfnote.h: the 32-bit entry of PVH guests. */
const XEN_ELFNOTE_PHYS32_ENTRY = 18;
/** Linux has 5. A file may claim 65535 and make us read 3.6 MB of table: refuse early. */
const MAX_PROGRAM_HEADERS = 128;
/** Linux has some hundred bytes of notes; a hostile size must not become a huge buffer. */
const MAX_NOTE_BYTES = 1 << 20;

/** Where the two classes keep the same facts; `wide` fields are 8 bytes. */
interface Layout {
  readonly headerSize: number;
  readonly entry: number;
  readonly phoff: number;
  readonly phentsize: number;
  readonly phnum: number;
  readonly programHeaderSize: number;
  readonly offset: number;
  readonly paddr: number;
  readonly filesz: number;
  readonly memsz: number;
  readonly align: number;
  readonly wide: boolean;
}
const LAYOUT_64: Layout = {
  headerSize: 64,
  entry: 24,
  phoff: 32,
  phentsize: 54,
  phnum: 56,
  programHeaderSize: 56,
  offset: 8,
  paddr: 24,
  filesz: 32,
  memsz: 40,
  align: 48,
  wide: true,
};
const LAYOUT_32: Layout = {
  headerSize: 52,
  entry: 24,
  phoff: 28,
  phentsize: 42,
  phnum: 44,
  programHeaderSize: 32,
  offset: 4,
  paddr: 12,
  filesz: 16,
  memsz: 20,
  align: 28,
  wide: false,
};

/** A PT_LOAD segment; addresses are guest-physical, sizes in bytes. */
export interface ElfSegment {
  /** Its number among all program headers, as `readelf -l` counts. */
  readonly index: number;
  readonly fileOffset: number;
  readonly fileSize: number;
  readonly address: number;
  readonly memorySize: number;
}

export interface ElfImage {
  readonly bits: 32 | 64;
  readonly entry: number;
  readonly pvhEntry?: number;
  /** Whether Linux's own notes are there. */
  readonly isLinux: boolean;
  readonly segments: readonly ElfSegment[];
  readonly lowest: number;
  readonly highest: number;
}

interface ProgramHeader extends ElfSegment {
  readonly type: number;
  readonly align: number;
}

/** Reads and checks the headers of an ELF kernel. Throws `BootError`. */
export function parseElf(source: ImageSource): ElfImage {
  const layout = checkIdentity(source);
  const header = readBytes(source, 0, layout.headerSize, "the ELF header");
  const view = viewOf(header);
  const type = checkMachine(source, view);
  const headers = readProgramHeaders(source, layout, view);
  const { pvhEntry, isLinux } = readNotes(source, headers);
  refusePrograms(source, headers, type, pvhEntry);
  if (!layout.wide && pvhEntry === undefined) {
    throw new BootError(
      "KERNEL_ARCH",
      `Kernel '${source.name}' is a 32-bit x86 ELF without a PVH note, so it has no entry known here`,
      "use a 64-bit kernel, or a 32-bit one built with CONFIG_PVH=y",
    );
  }
  const segments = headers.filter(isLoaded);
  checkSegments(source, segments);
  const entry = word(view, layout.entry, layout.wide);
  checkEntry(source, segments, pvhEntry ?? entry);
  return {
    bits: layout.wide ? 64 : 32,
    entry,
    ...(pvhEntry === undefined ? {} : { pvhEntry }),
    isLinux,
    segments,
    lowest: Math.min(...segments.map((segment) => segment.address)),
    highest: Math.max(...segments.map(segmentEnd)),
  };
}

/**
 * Reads the segments straight into guest memory. The zero-filled tail of a segment is not written: memory is fresh
 * (see `BootRequest`), and touching it would cost a page fault for each page. The caller has checked that it fits.
 */
export function loadElf(source: ImageSource, image: ElfImage, memory: BootMemory): void {
  for (const { fileOffset, fileSize, address } of image.segments) {
    if (fileSize > 0) source.read(fileOffset, memory.view(gpa(address), fileSize));
  }
}

/** Throws KERNEL_FORMAT unless the program is entered in 64-bit mode at an address of its own. */
export function checkNativeEntry(source: ImageSource, image: ElfImage): void {
  checkEntry(source, image.segments, image.entry);
}

/** One past the last byte of `segment`. */
export function segmentEnd(segment: ElfSegment): number {
  return segment.address + segment.memorySize;
}

function isLoaded(header: ProgramHeader): boolean {
  return header.type === PT_LOAD && header.memorySize > 0;
}

function checkIdentity(source: ImageSource): Layout {
  const ident = readBytes(source, 0, 16, "the ELF identification");
  const [elfClass, data, version] = [byteAt(ident, 4), byteAt(ident, 5), byteAt(ident, 6)];
  if (elfClass !== ELFCLASS32 && elfClass !== ELFCLASS64) {
    throw corrupt(source, `its ELF class is ${elfClass}, neither 32 nor 64 bits`);
  }
  if (data !== ELFDATA2LSB) {
    throw new BootError(
      "KERNEL_ARCH",
      `Kernel '${source.name}' is a big-endian ELF, this machine is little-endian x86-64`,
      "use a kernel built for x86-64",
    );
  }
  if (version !== 1) throw corrupt(source, `its ELF version is ${version}, not 1`);
  return elfClass === ELFCLASS64 ? LAYOUT_64 : LAYOUT_32;
}

/** What e_machine numbers people meet are called (include/uapi/linux/elf-em.h). */
const MACHINES: Readonly<Record<number, string>> = {
  2: "SPARC",
  3: "32-bit x86",
  8: "MIPS",
  20: "32-bit PowerPC",
  21: "PowerPC",
  22: "s390",
  40: "32-bit Arm",
  43: "SPARC64",
  50: "Itanium",
  62: "x86-64",
  183: "arm64",
  243: "RISC-V",
  247: "eBPF",
  258: "LoongArch",
};
const TYPES: Readonly<Record<number, string>> = {
  0: "an ELF without a type",
  1: "an object file or kernel module (relocatable ELF)",
  4: "a core dump",
};

/** Returns e_type, which is ET_EXEC or ET_DYN. */
function checkMachine(source: ImageSource, view: DataView): number {
  const type = view.getUint16(16, true);
  const machine = view.getUint16(18, true);
  if (machine !== EM_X86_64 && machine !== EM_386) {
    const name = MACHINES[machine] ?? `machine number ${machine}`;
    throw new BootError(
      "KERNEL_ARCH",
      `Kernel '${source.name}' is an ELF for ${name}, this machine is x86-64`,
      "use a kernel built for x86-64",
    );
  }
  if (type !== ET_EXEC && type !== ET_DYN) {
    const what = TYPES[type] ?? `an ELF of unknown type ${type}`;
    throw notKernel(source, what, "give the vmlinux file of a kernel build");
  }
  return type;
}

function readProgramHeaders(source: ImageSource, layout: Layout, view: DataView): ProgramHeader[] {
  const count = view.getUint16(layout.phnum, true);
  const entrySize = view.getUint16(layout.phentsize, true);
  if (count === 0) {
    throw notKernel(
      source,
      "an ELF with nothing to load",
      "give the vmlinux file of a kernel build",
    );
  }
  if (entrySize !== layout.programHeaderSize) {
    throw corrupt(
      source,
      `its program headers are ${entrySize} bytes each, not ${layout.programHeaderSize}`,
    );
  }
  if (count > MAX_PROGRAM_HEADERS) {
    throw corrupt(
      source,
      `it claims ${count} program headers, at most ${MAX_PROGRAM_HEADERS} are read`,
    );
  }
  const table = word(view, layout.phoff, layout.wide);
  const bytes = readBytes(source, table, count * entrySize, "the program header table");
  const tableView = viewOf(bytes);
  const headers: ProgramHeader[] = [];
  for (let index = 0; index < count; index++) {
    headers.push(programHeader(tableView, layout, index));
  }
  return headers;
}

function programHeader(table: DataView, layout: Layout, index: number): ProgramHeader {
  const at = index * layout.programHeaderSize;
  return {
    index,
    type: table.getUint32(at, true),
    fileOffset: word(table, at + layout.offset, layout.wide),
    address: word(table, at + layout.paddr, layout.wide),
    fileSize: word(table, at + layout.filesz, layout.wide),
    memorySize: word(table, at + layout.memsz, layout.wide),
    align: word(table, at + layout.align, layout.wide),
  };
}

/** Linux's vmlinux has neither an interpreter nor thread-local storage; user-space programs have. */
function refusePrograms(
  source: ImageSource,
  headers: readonly ProgramHeader[],
  type: number,
  pvhEntry: number | undefined,
): void {
  const hint = "give the kernel with --kernel and the program after --";
  if (headers.some((header) => header.type === PT_INTERP)) {
    throw notKernel(source, "a dynamically linked program", hint);
  }
  if (pvhEntry !== undefined) return;
  if (headers.some((header) => header.type === PT_TLS)) {
    throw notKernel(source, "a user-space program", hint);
  }
  if (
    type === ET_DYN && headers.some((header) => isLoaded(header) && header.address < HIGH_MEMORY)
  ) {
    throw notKernel(source, "a shared object or position-independent program", hint);
  }
}

function checkSegments(source: ImageSource, segments: readonly ElfSegment[]): void {
  if (segments.length === 0) {
    throw notKernel(
      source,
      "an ELF with nothing to load",
      "give the vmlinux file of a kernel build",
    );
  }
  for (const { index, fileOffset, fileSize, address, memorySize } of segments) {
    const fileEnd = fileOffset + fileSize;
    if (fileSize > memorySize) {
      throw corrupt(
        source,
        `segment ${index} has ${fileSize} bytes in the file but ${memorySize} in memory`,
      );
    }
    if (!Number.isSafeInteger(address + memorySize)) {
      throw corrupt(source, `segment ${index} at ${hex(address)} ends beyond any address`);
    }
    if (fileEnd > source.size) throw truncated(source, `segment ${index}`, fileEnd);
    if (address < HIGH_MEMORY) {
      throw new BootError(
        "KERNEL_PLACEMENT",
        `Kernel '${source.name}' wants segment ${index} at ${
          hex(address)
        }, below 1 MiB where boot tables are kept`,
        "link it at 1 MiB (0x100000) or above",
      );
    }
  }
}

function checkEntry(source: ImageSource, segments: readonly ElfSegment[], entry: number): void {
  if (segments.some((segment) => entry >= segment.address && entry < segmentEnd(segment))) return;
  throw corrupt(source, `its entry ${hex(entry)} is in none of its segments`);
}

/** What the notes of a kernel say. */
interface Notes {
  readonly pvhEntry: number | undefined;
  /** Whether Linux's build wrote some (include/linux/elfnote.h): then `e_entry` is its 64-bit boot protocol. */
  readonly isLinux: boolean;
}

/** Looks through the notes for the PVH entry (Documentation of XEN_ELFNOTE_PHYS32_ENTRY) and for Linux's own. */
function readNotes(source: ImageSource, headers: readonly ProgramHeader[]): Notes {
  let pvhEntry: number | undefined;
  let isLinux = false;
  for (const header of headers) {
    if (header.type !== PT_NOTE || header.fileSize === 0) continue;
    if (header.fileSize > MAX_NOTE_BYTES) {
      throw corrupt(source, `its notes (segment ${header.index}) claim ${header.fileSize} bytes`);
    }
    const what = `note segment ${header.index}`;
    const notes = readBytes(source, header.fileOffset, header.fileSize, what);
    // Notes are padded to 4 bytes, in segments aligned to 8 (GNU property notes) to 8.
    forEachNote(notes, header.align === 8 ? 8 : 4, (name, type, desc) => {
      if (name === "Linux") isLinux = true;
      if (name === "Xen" && type === XEN_ELFNOTE_PHYS32_ENTRY && desc.byteLength >= 4) {
        pvhEntry ??= desc.getUint32(0, true);
      }
    });
  }
  return { pvhEntry, isLinux };
}

function forEachNote(
  notes: Uint8Array,
  align: number,
  visit: (name: string, type: number, desc: DataView) => void,
): void {
  const view = viewOf(notes);
  for (let at = 0; at + 12 <= notes.length;) {
    const nameSize = view.getUint32(at, true);
    const descSize = view.getUint32(at + 4, true);
    const desc = roundUp(at + 12 + nameSize, align);
    if (desc + descSize > notes.length) return; // cut off: nothing behind it can be trusted
    const name = String.fromCharCode(...notes.subarray(at + 12, at + 12 + Math.min(nameSize, 16)));
    const bytes = notes.subarray(desc, desc + descSize);
    visit(name.replace(/\0.*$/, ""), view.getUint32(at + 8, true), viewOf(bytes));
    at = roundUp(desc + descSize, align);
  }
}

function word(view: DataView, offset: number, wide: boolean): number {
  return wide ? u64At(view, offset) : view.getUint32(offset, true);
}

function readBytes(source: ImageSource, offset: number, length: number, what: string): Uint8Array {
  if (offset + length > source.size) throw truncated(source, what, offset + length);
  const bytes = new Uint8Array(length);
  source.read(offset, bytes);
  return bytes;
}

function truncated(source: ImageSource, what: string, end: number): BootError {
  return new BootError(
    "KERNEL_TRUNCATED",
    `Kernel '${source.name}' is truncated: ${what} needs bytes up to ${end}, the file has ${source.size}`,
    "copy or download the file again",
  );
}

function corrupt(source: ImageSource, why: string): BootError {
  return failure("KERNEL_CORRUPT", `Kernel '${source.name}' is not a valid kernel: ${why}`);
}

function notKernel(source: ImageSource, what: string, hint: string): BootError {
  return failure("KERNEL_FORMAT", `Kernel '${source.name}' is not a kernel: it is ${what}`, hint);
}

function failure(
  code: BootErrorCode,
  message: string,
  hint = "build or download the kernel again",
): BootError {
  return new BootError(code, message, hint);
}
