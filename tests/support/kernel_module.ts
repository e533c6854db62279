/** Kernel modules made up for tests: as much of a relocatable ELF file as a reader of .modinfo looks at. */

/** What to write otherwise than a compiler would. */
export interface ModuleOptions {
  /** Name of the section with the strings. */
  readonly section?: string;
  /** Changes the finished file. */
  readonly damage?: (view: DataView, at: ModuleOffsets) => void;
}

/** Where things are in the file, for damage. */
export interface ModuleOffsets {
  /** The section header table: 64 bytes each, the empty one first, then the strings', then the names'. */
  readonly table: number;
}

const HEADER = 64;

/** A module whose .modinfo has these `key=value` strings. */
export function kernelModule(
  strings: readonly string[],
  options: ModuleOptions = {},
): Uint8Array<ArrayBuffer> {
  const { section = ".modinfo", damage } = options;
  const encode = (text: string) => new TextEncoder().encode(text);
  const info = encode(strings.map((text) => `${text}\0`).join(""));
  const names = encode(`\0${section}\0.shstrtab\0`);
  const table = HEADER + info.length + names.length;
  const bytes = new Uint8Array(table + 3 * HEADER + 24);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 1, true); // ET_REL
  view.setBigUint64(0x28, BigInt(table), true);
  view.setUint16(0x3a, HEADER, true);
  view.setUint16(0x3c, 3, true);
  view.setUint16(0x3e, 2, true);
  bytes.set(info, HEADER);
  bytes.set(names, HEADER + info.length);
  sectionHeader(view, table + HEADER, [1, 1, HEADER, info.length]);
  sectionHeader(view, table + 2 * HEADER, [
    section.length + 2,
    3,
    HEADER + info.length,
    names.length,
  ]);
  bytes.set(encode("~Module signature appended~").subarray(0, 24), table + 3 * HEADER);
  damage?.(view, { table });
  return bytes;
}

function sectionHeader(
  view: DataView,
  at: number,
  [name, type, offset, size]: readonly [number, number, number, number],
): void {
  view.setUint32(at, name, true);
  view.setUint32(at + 4, type, true);
  view.setBigUint64(at + 0x18, BigInt(offset), true);
  view.setBigUint64(at + 0x20, BigInt(size), true);
}
