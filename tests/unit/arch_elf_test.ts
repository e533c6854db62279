/** ELF kernels: what is accepted, what is refused and with which words, and what ends up in guest memory. */
import assert from "node:assert/strict";
import { inspectKernel, loadKernel } from "../../src/arch/x86_64/boot.ts";
import { BootError, type BootErrorCode, type ImageSource } from "../../src/arch/types.ts";
import { gpa, type GuestMemory, heapGuestMemory } from "../../src/memory/guest_memory.ts";

const MIB = 2 ** 20;

interface Segment {
  type?: number;
  paddr?: number;
  bytes?: Uint8Array;
  fileSize?: number;
  offset?: number;
  memorySize?: number;
  align?: number;
}
interface ElfOptions {
  bits?: 32 | 64;
  data?: number;
  version?: number;
  elfClass?: number;
  type?: number;
  machine?: number;
  entry?: number;
  phnum?: number;
  phentsize?: number;
  segments?: Segment[];
}

/** Builds an ELF file byte by byte. By default: one segment of 4 bytes at 16 MiB, entered there. */
function elf(options: ElfOptions = {}): Uint8Array {
  const wide = (options.bits ?? 64) === 64;
  const segments = options.segments ??
    [{ paddr: 16 * MIB, bytes: Uint8Array.of(1, 2, 3, 4), memorySize: 0x2000 }];
  const [headerSize, phSize] = wide ? [64, 56] : [52, 32];
  let end = headerSize + segments.length * phSize;
  const offsets = segments.map((segment) => {
    const at = end;
    end += segment.bytes?.length ?? 0;
    return at;
  });
  const file = new Uint8Array(end);
  const view = new DataView(file.buffer);
  const word = (at: number, value: number) =>
    wide ? view.setBigUint64(at, BigInt(value), true) : view.setUint32(at, value, true);
  file.set([
    0x7f,
    0x45,
    0x4c,
    0x46,
    options.elfClass ?? (wide ? 2 : 1),
    options.data ?? 1,
    options.version ?? 1,
  ]);
  view.setUint16(16, options.type ?? 2, true);
  view.setUint16(18, options.machine ?? (wide ? 62 : 3), true);
  word(24, options.entry ?? 16 * MIB);
  word(wide ? 32 : 28, headerSize);
  view.setUint16(wide ? 54 : 42, options.phentsize ?? phSize, true);
  view.setUint16(wide ? 56 : 44, options.phnum ?? segments.length, true);
  segments.forEach((segment, i) => {
    const at = headerSize + i * phSize;
    const size = segment.fileSize ?? segment.bytes?.length ?? 0;
    view.setUint32(at, segment.type ?? 1, true);
    word(at + (wide ? 8 : 4), segment.offset ?? offsets[i] ?? 0);
    word(at + (wide ? 24 : 12), segment.paddr ?? 0);
    word(at + (wide ? 32 : 16), size);
    word(at + (wide ? 40 : 20), segment.memorySize ?? size);
    word(at + (wide ? 48 : 28), segment.align ?? 4);
    file.set(segment.bytes ?? [], offsets[i]);
  });
  return file;
}

const CODE: Segment = { paddr: 16 * MIB, bytes: Uint8Array.of(1, 2, 3, 4), memorySize: 0x2000 };

/** A note segment with a build id first, then Xen's PHYS32_ENTRY. */
function pvhNote(
  entry: number,
  options: { name?: string; descSize?: number; align?: number } = {},
): Segment {
  const align = options.align ?? 4;
  const pad = (n: number) => Math.ceil(n / align) * align;
  const name = new TextEncoder().encode((options.name ?? "Xen") + "\0");
  const descSize = options.descSize ?? 8;
  const first = pad(pad(12 + 4) + 20);
  const desc = pad(first + 12 + name.length);
  const bytes = new Uint8Array(pad(desc + descSize));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 4, true);
  view.setUint32(4, 20, true);
  view.setUint32(8, 3, true);
  bytes.set(new TextEncoder().encode("GNU\0"), 12);
  view.setUint32(first, name.length, true);
  view.setUint32(first + 4, descSize, true);
  view.setUint32(first + 8, 18, true);
  bytes.set(name, first + 12);
  view.setUint32(desc, entry, true);
  return { type: 4, bytes, align, memorySize: 0 };
}

function sourceOf(bytes: Uint8Array, name = "x"): ImageSource {
  return {
    size: bytes.length,
    name,
    read(offset, into) {
      if (offset + into.length > bytes.length) throw new Error("short read");
      into.set(bytes.subarray(offset, offset + into.length));
    },
  };
}

function ram(mib = 64): GuestMemory {
  return heapGuestMemory([{ base: 0, size: mib * MIB }]);
}

function refused(bytes: Uint8Array, code: BootErrorCode, message: RegExp): void {
  assert.throws(
    () => loadKernel({ memory: ram(), kernel: sourceOf(bytes), cmdline: "" }),
    (error) => {
      assert(error instanceof BootError, String(error));
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert(error.hint !== undefined && error.hint.length > 0, "has a hint");
      return true;
    },
  );
}

Deno.test("an ELF with a PVH note is entered there in flat 32-bit mode", () => {
  const memory = ram();
  const file = elf({ segments: [CODE, pvhNote(16 * MIB + 0x10)] });
  const state = loadKernel({ memory, kernel: sourceOf(file), cmdline: "quiet" });
  assert.equal(state.protocol, "pvh");
  assert.equal(state.regs.rip, 16 * MIB + 0x10);
  assert.equal(state.sregs.cr0, 0x11);
  assert.equal(state.sregs.efer, 0);
  assert.equal(state.sregs.code.db, 1);
  assert.equal(state.sregs.code.l, 0);
  assert.deepEqual([...memory.view(gpa(16 * MIB), 5)], [1, 2, 3, 4, 0]);
  assert.deepEqual(structuredClone(state), state);
});

Deno.test("start_info holds command line, memory map, initrd and ACPI root", () => {
  const memory = heapGuestMemory([{ base: 0, size: 64 * MIB }, { base: 2 ** 32, size: 16 * MIB }]);
  const state = loadKernel({
    memory,
    kernel: sourceOf(elf({ segments: [CODE, pvhNote(16 * MIB)] })),
    initrd: sourceOf(Uint8Array.of(7, 8, 9)),
    cmdline: "a=b",
    acpi: { root: 0xe0000, bytes: Uint8Array.of(5, 6) },
  });
  const at = state.regs.rbx;
  const word = (offset: number) => memory.getU32(gpa(at + offset));
  assert.deepEqual([word(0), word(4), word(8), word(12)], [0x336ec578, 1, 0, 1]);
  const cmdline = memory.view(gpa(word(24)), 4);
  assert.equal(String.fromCharCode(...cmdline), "a=b\0");
  assert.equal(word(32), 0xe0000);
  assert.deepEqual([...memory.view(gpa(0xe0000), 3)], [5, 6, 0], "the tables themselves");
  const module = word(16);
  const initrd = memory.getU32(gpa(module));
  assert.equal(initrd, 64 * MIB - 4096, "as high as possible, page aligned");
  assert.equal(memory.getU32(gpa(module + 8)), 3);
  assert.deepEqual([...memory.view(gpa(initrd), 3)], [7, 8, 9]);
  const map = word(40);
  const rows = Array.from({ length: word(48) }, (_, i) => {
    const row = gpa(map + i * 24);
    const wide = (offset: number) =>
      memory.getU32(gpa(row + offset)) + memory.getU32(gpa(row + offset + 4)) * 2 ** 32;
    return [wide(0), wide(8), memory.getU32(gpa(row + 16))];
  });
  assert.deepEqual(rows, [
    [0, 0x9fc00, 1],
    [0x9fc00, 0x60400, 2],
    [MIB, 63 * MIB, 1],
    [2 ** 32, 16 * MIB, 1],
  ]);
});

Deno.test("PVH notes are found with 4-byte values, 8-byte padding and behind other notes", () => {
  const entryOf = (note: Segment) =>
    inspectKernel(sourceOf(elf({ segments: [CODE, note] }))).pvhEntry;
  assert.equal(entryOf(pvhNote(16 * MIB + 4, { descSize: 4 })), 16 * MIB + 4);
  assert.equal(entryOf(pvhNote(16 * MIB + 8, { align: 8 })), 16 * MIB + 8);
  assert.equal(entryOf(pvhNote(16 * MIB, { name: "Not" })), undefined);
  const cut = pvhNote(16 * MIB);
  assert.equal(entryOf({ ...cut, fileSize: 44 }), undefined);
});

Deno.test("an ELF without a note, or one that gets a device tree, is entered in long mode", () => {
  const plain = loadKernel({
    memory: ram(),
    kernel: sourceOf(elf({ entry: 16 * MIB + 2 })),
    cmdline: "",
  });
  assert.equal(plain.protocol, "linux64");
  assert.equal(plain.regs.rip, 16 * MIB + 2);
  assert.equal(plain.regs.rsi, 0x7000);
  assert.equal(plain.sregs.cr0, 0x8000_0011);
  assert.equal(plain.sregs.cr4, 0x20);
  assert.equal(plain.sregs.efer, 0x500);
  assert.deepEqual([plain.sregs.code.selector, plain.sregs.code.l, plain.sregs.code.db], [
    0x10,
    1,
    0,
  ]);
  assert.equal(plain.sregs.data.selector, 0x18);
  const blob = new Uint8Array(48);
  new DataView(blob.buffer).setUint32(0, 0xd00dfeed);
  new DataView(blob.buffer).setUint32(4, 48);
  const both = elf({ segments: [CODE, pvhNote(16 * MIB)] });
  const withTree = loadKernel({
    memory: ram(),
    kernel: sourceOf(both),
    cmdline: "",
    deviceTree: blob,
  });
  assert.equal(withTree.protocol, "linux64");
});

Deno.test("Linux as ELF is entered natively even with a PVH note, so that it can get a random seed", () => {
  const linux = pvhNote(0, { name: "Linux" });
  const file = elf({ segments: [CODE, pvhNote(16 * MIB + 0x10), linux] });
  const memory = heapGuestMemory([{ base: 0, size: 64 * MIB }]);
  const state = loadKernel({ memory, kernel: sourceOf(file), cmdline: "" });
  assert.equal(state.protocol, "linux64");
  assert.equal(state.regs.rip, 16 * MIB);
});

Deno.test("a 32-bit ELF boots through PVH only", () => {
  const file = elf({ bits: 32, segments: [CODE, pvhNote(16 * MIB, { descSize: 4 })] });
  const info = inspectKernel(sourceOf(file));
  assert.equal(info.format, "elf32");
  assert.equal(info.entry, undefined);
  const memory = ram();
  assert.equal(loadKernel({ memory, kernel: sourceOf(file), cmdline: "" }).protocol, "pvh");
  assert.deepEqual([...memory.view(gpa(16 * MIB), 4)], [1, 2, 3, 4]);
  refused(elf({ bits: 32 }), "KERNEL_ARCH", /32-bit x86 ELF without a PVH note/);
  const deviceTree = new Uint8Array(40);
  deviceTree.set([0xd0, 0x0d, 0xfe, 0xed]);
  assert.throws(
    () => loadKernel({ memory: ram(), kernel: sourceOf(file), cmdline: "", deviceTree }),
    (error) => error instanceof BootError && error.code === "DEVICE_TREE_UNSUPPORTED",
  );
});

Deno.test("inspection tells extent, limits and the least memory", () => {
  const info = inspectKernel(sourceOf(elf({
    segments: [CODE, { paddr: 20 * MIB, bytes: Uint8Array.of(9), memorySize: 3 * MIB + 1 }],
  })));
  assert.equal(info.format, "elf64");
  assert.equal(info.lowest, 16 * MIB);
  assert.equal(info.highest, 23 * MIB + 1);
  assert.equal(info.minimumRam, 24 * MIB);
  assert.equal(info.cmdlineMax, 2047);
});

Deno.test("a truncated ELF is told what is cut off, wherever the cut is", () => {
  const file = elf();
  refused(
    file.slice(0, 10),
    "KERNEL_TRUNCATED",
    /identification needs bytes up to 16, the file has 10/,
  );
  refused(
    file.slice(0, 50),
    "KERNEL_TRUNCATED",
    /'x' is truncated: the ELF header needs bytes up to 64/,
  );
  refused(
    file.slice(0, 100),
    "KERNEL_TRUNCATED",
    /program header table needs bytes up to 120, the file has 100/,
  );
  refused(
    file.slice(0, 121),
    "KERNEL_TRUNCATED",
    /segment 0 needs bytes up to 124, the file has 121/,
  );
  const noteless = elf({ segments: [CODE, { type: 4, offset: 500, fileSize: 20, memorySize: 0 }] });
  refused(noteless, "KERNEL_TRUNCATED", /note segment 1 needs bytes up to 520/);
});

Deno.test("every cut of a good ELF throws a BootError, never anything else", () => {
  const file = elf({ segments: [CODE, pvhNote(16 * MIB)] });
  for (let length = 0; length < file.length; length++) {
    assert.throws(
      () => inspectKernel(sourceOf(file.slice(0, length))),
      BootError,
      `cut at ${length}`,
    );
  }
});

Deno.test("every byte of the headers may be wrong without a crash", () => {
  const file = elf({ segments: [CODE, pvhNote(16 * MIB)] });
  const memory = ram(18);
  for (let at = 0; at < file.length; at++) {
    for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
      const broken = file.slice();
      broken[at] = value;
      try {
        loadKernel({ memory, kernel: sourceOf(broken), cmdline: "" });
      } catch (error) {
        assert(error instanceof BootError, `byte ${at} = ${value}: ${error}`);
      }
    }
  }
});

Deno.test("other machines, other files in ELF clothes and programs are refused in words", () => {
  refused(elf({ machine: 183 }), "KERNEL_ARCH", /an ELF for arm64/);
  refused(elf({ machine: 243 }), "KERNEL_ARCH", /an ELF for RISC-V/);
  refused(elf({ machine: 9999 }), "KERNEL_ARCH", /machine number 9999/);
  refused(elf({ data: 2 }), "KERNEL_ARCH", /big-endian/);
  refused(elf({ type: 1 }), "KERNEL_FORMAT", /object file or kernel module/);
  refused(elf({ type: 4 }), "KERNEL_FORMAT", /core dump/);
  refused(elf({ type: 77 }), "KERNEL_FORMAT", /unknown type 77/);
  refused(
    elf({ type: 3, segments: [{ paddr: 0, bytes: Uint8Array.of(1) }] }),
    "KERNEL_FORMAT",
    /shared object/,
  );
  refused(elf({ segments: [CODE, { type: 3 }] }), "KERNEL_FORMAT", /dynamically linked program/);
  refused(elf({ segments: [CODE, { type: 7 }] }), "KERNEL_FORMAT", /user-space program/);
  refused(elf({ segments: [] }), "KERNEL_FORMAT", /nothing to load/);
  refused(elf({ segments: [{ type: 6, paddr: 1 }] }), "KERNEL_FORMAT", /nothing to load/);
});

Deno.test("hostile headers are refused before anything is read or allocated", () => {
  refused(elf({ elfClass: 9 }), "KERNEL_CORRUPT", /class is 9/);
  refused(elf({ version: 2 }), "KERNEL_CORRUPT", /version is 2/);
  refused(elf({ phentsize: 8 }), "KERNEL_CORRUPT", /8 bytes each, not 56/);
  refused(elf({ phnum: 65535 }), "KERNEL_CORRUPT", /claims 65535 program headers/);
  refused(
    elf({ segments: [{ ...CODE, memorySize: 2 }] }),
    "KERNEL_CORRUPT",
    /4 bytes in the file but 2 in memory/,
  );
  refused(elf({ entry: 0x1234 }), "KERNEL_CORRUPT", /entry 0x1234 is in none of its segments/);
  refused(elf({ segments: [CODE, pvhNote(0x1234)] }), "KERNEL_CORRUPT", /entry 0x1234 is in none/);
  refused(
    elf({ segments: [CODE, { type: 4, fileSize: 2 ** 30, memorySize: 0 }] }),
    "KERNEL_CORRUPT",
    /notes \(segment 1\) claim 1073741824 bytes/,
  );
  refused(
    elf({ segments: [{ ...CODE, memorySize: 2 ** 60 }] }),
    "KERNEL_CORRUPT",
    /ends beyond any address/,
  );
  refused(elf({ segments: [{ ...CODE, offset: 2 ** 52 }] }), "KERNEL_TRUNCATED", /segment 0 needs/);
});

Deno.test("a kernel must lie above 1 MiB and inside RAM", () => {
  refused(
    elf({ entry: 0x80000, segments: [{ ...CODE, paddr: 0x80000 }] }),
    "KERNEL_PLACEMENT",
    /segment 0 at 0x80000, below 1 MiB/,
  );
  const big = elf({ segments: [{ ...CODE, memorySize: 100 * MIB }] });
  refused(
    big,
    "KERNEL_TOO_BIG",
    /needs memory from 0x1000000 to 0x7400000, the machine has 64 MiB/,
  );
  assert.throws(
    () => loadKernel({ memory: ram(), kernel: sourceOf(big), cmdline: "" }),
    (error) =>
      error instanceof BootError && error.hint === "give the machine more memory with --mem 128M",
  );
  const high = elf({ entry: 0xd000_0000, segments: [{ ...CODE, paddr: 0xd000_0000 }] });
  assert.throws(
    () => loadKernel({ memory: ram(), kernel: sourceOf(high), cmdline: "" }),
    (error) => error instanceof BootError && /below 3 GiB/.test(error.hint ?? ""),
  );
});
