/**
 * What a kernel module says about itself: the strings in its .modinfo section. A module is a relocatable 64-bit
 * little-endian ELF file (elf(5)); nothing in it is trusted.
 */
import { InitramfsError } from "./errors.ts";

/** What a module needs, and which kernel it is for. Names have "_" for every "-". */
export interface ModuleInfo {
  /** Modules whose symbols it uses: they must be loaded before. */
  readonly depends: readonly string[];
  /** Modules it works better with when they are loaded before (softdep `pre:`). May not exist. */
  readonly before: readonly string[];
  /** The same, loaded after it (softdep `post:`). */
  readonly after: readonly string[];
  /** The kernel's release, as in `uname -r`. */
  readonly release?: string;
}

/** `\x7fELF`, 64 bit, little-endian. */
const IDENT = [0x7f, 0x45, 0x4c, 0x46, 2, 1];
const HEADER_SIZE = 64;
const SECTION_HEADER_SIZE = 64;
/** Offsets in the ELF header, then in a section's. */
const E_SHOFF = 0x28;
const E_SHENTSIZE = 0x3a;
const E_SHNUM = 0x3c;
const E_SHSTRNDX = 0x3e;
const SH_NAME = 0;
const SH_TYPE = 4;
const SH_OFFSET = 0x18;
const SH_SIZE = 0x20;
const SHT_PROGBITS = 1;
const SHT_STRTAB = 3;

/** A module's name as `lsmod` writes it: the kernel takes "-" and "_" for the same. */
export function moduleName(name: string): string {
  return name.replaceAll("-", "_");
}

/**
 * Reads .modinfo of a module that is not compressed.
 *
 * @param path for the error only
 * @throws {InitramfsError} when it is not a module, or is cut off
 */
export function readModuleInfo(bytes: Uint8Array, path: string): ModuleInfo {
  const section = modinfoSection(bytes);
  if (typeof section === "string") {
    throw new InitramfsError(`Cannot use module "${path}": ${section}`, "INITRD_MODULE_FORMAT", {
      hint: "unpack the kernel's package again",
    });
  }
  const depends = new Set<string>();
  const before = new Set<string>();
  const after = new Set<string>();
  let release: string | undefined;
  for (const text of new TextDecoder().decode(section).split("\0")) {
    const equals = text.indexOf("=");
    const [key, value] = [text.slice(0, equals), text.slice(equals + 1)];
    if (key === "depends") names(value, ",").forEach((name) => depends.add(name));
    if (key === "softdep") addSoftDependencies(value, before, after);
    if (key === "vermagic") release ??= value.split(" ")[0];
  }
  return {
    depends: [...depends],
    before: [...before],
    after: [...after],
    ...(release ? { release } : {}),
  };
}

/** `pre: a b post: c`; names before any keyword are there for nobody (modprobe.d(5)). */
function addSoftDependencies(text: string, before: Set<string>, after: Set<string>): void {
  let list: Set<string> | undefined;
  for (const word of text.split(/\s+/)) {
    if (word === "pre:") list = before;
    else if (word === "post:") list = after;
    else if (word !== "") list?.add(moduleName(word));
  }
}

function names(list: string, separator: string): string[] {
  return list.split(separator).filter((name) => name !== "").map(moduleName);
}

/** The section's bytes, or what is wrong with the file. */
function modinfoSection(bytes: Uint8Array): Uint8Array | string {
  if (bytes.length < HEADER_SIZE || IDENT.some((byte, index) => bytes[index] !== byte)) {
    return "it is not a 64-bit little-endian ELF file";
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tableSize = view.getUint16(E_SHNUM, true) * SECTION_HEADER_SIZE;
  const table = part(bytes, long(view, E_SHOFF), tableSize);
  if (view.getUint16(E_SHENTSIZE, true) !== SECTION_HEADER_SIZE || table === undefined) {
    return "its section table is damaged";
  }
  const strings = sectionAt(bytes, table, view.getUint16(E_SHSTRNDX, true));
  if (strings === undefined) return "its section names are damaged";
  const wanted = new TextEncoder().encode(".modinfo\0");
  for (let index = 0; index * SECTION_HEADER_SIZE < table.length; index++) {
    const name = headerOf(table, index).getUint32(SH_NAME, true);
    if (wanted.some((byte, at) => strings[name + at] !== byte)) continue;
    return sectionAt(bytes, table, index) ?? "its section .modinfo is damaged";
  }
  return "it has no section .modinfo";
}

/** The data of a section that has some, if it lies in the file. */
function sectionAt(bytes: Uint8Array, table: Uint8Array, index: number): Uint8Array | undefined {
  if ((index + 1) * SECTION_HEADER_SIZE > table.length) return undefined;
  const header = headerOf(table, index);
  const type = header.getUint32(SH_TYPE, true);
  if (type !== SHT_PROGBITS && type !== SHT_STRTAB) return undefined;
  return part(bytes, long(header, SH_OFFSET), long(header, SH_SIZE));
}

function headerOf(table: Uint8Array, index: number): DataView {
  const at = table.byteOffset + index * SECTION_HEADER_SIZE;
  return new DataView(table.buffer, at, SECTION_HEADER_SIZE);
}

/** A 64-bit field. One beyond 2^53 loses digits, and stays beyond the end of any file. */
function long(view: DataView, offset: number): number {
  return Number(view.getBigUint64(offset, true));
}

function part(bytes: Uint8Array, begin: number, length: number): Uint8Array | undefined {
  return begin + length <= bytes.length ? bytes.subarray(begin, begin + length) : undefined;
}
