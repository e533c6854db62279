/** bzImage kernels, the zero page, initrd, command line and device tree: places, contents and errors. */
import assert from "node:assert/strict";
import { inspectKernel, loadKernel } from "../../src/arch/x86_64/boot.ts";
import {
  BootError,
  type BootErrorCode,
  type BootRequest,
  type ImageSource,
} from "../../src/arch/types.ts";
import { gpa, type GuestMemory, heapGuestMemory } from "../../src/memory/guest_memory.ts";

const MIB = 2 ** 20;
const ZERO_PAGE = 0x7000;
const SETUP_SIZE = 2 * 512;
const BODY = 4096;

/** A bzImage of two setup sectors and 4 KiB of kernel; `edit` changes header fields. */
function bzImage(edit: (view: DataView) => void = () => {}): Uint8Array {
  const file = new Uint8Array(SETUP_SIZE + BODY);
  const view = new DataView(file.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint32(0x1f4, BODY / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint8(0x201, 0x6a);
  file.set(new TextEncoder().encode("HdrS"), 0x202);
  view.setUint16(0x206, 0x20f, true);
  view.setUint16(0x20e, 0x100, true);
  file.set(new TextEncoder().encode("6.1.0-test (me@here) #1\0"), 0x300);
  view.setUint8(0x211, 1);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint32(0x230, 0x20_0000, true);
  view.setUint8(0x234, 1);
  view.setUint16(0x236, 3, true);
  view.setUint32(0x238, 2047, true);
  view.setBigUint64(0x258, 0x100_0000n, true);
  view.setUint32(0x260, 8 * MIB, true);
  file.fill(0xab, SETUP_SIZE);
  edit(view);
  return file;
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

/** An image of `size` bytes without that many bytes anywhere. */
function sparse(size: number, name = "x"): ImageSource {
  return { size, name, read: (_offset, into) => void into.fill(0x5a) };
}

function ram(mib = 64): GuestMemory {
  return heapGuestMemory([{ base: 0, size: mib * MIB }]);
}

/** A request whose memory is read afterwards. */
type Asked = Partial<BootRequest> & { readonly memory?: GuestMemory };

function boot(request: Asked = {}) {
  const memory = request.memory ?? ram();
  const state = loadKernel({ kernel: sourceOf(bzImage()), cmdline: "", ...request, memory });
  return { memory, state };
}

function refused(
  request: Asked,
  code: BootErrorCode,
  message: RegExp,
  hint = /./,
): void {
  const memory = request.memory ?? ram();
  assert.throws(() => boot({ ...request, memory }), (error) => {
    assert(error instanceof BootError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.match(error.hint ?? "", hint);
    return true;
  });
  assert(memory.regions.every(({ u32 }) => isZero(u32)), "memory is untouched after an error");
}

/** A plain loop: a callback for each word of 64 MiB takes a second. */
function isZero(words: Uint32Array): boolean {
  for (let i = 0; i < words.length; i++) if (words[i] !== 0) return false;
  return true;
}

function wide(memory: GuestMemory, at: number): number {
  return memory.getU32(gpa(at)) + memory.getU32(gpa(at + 4)) * 2 ** 32;
}

Deno.test("a bzImage goes to its preferred address and is entered 0x200 behind it", () => {
  const { memory, state } = boot({ cmdline: "quiet" });
  assert.equal(state.protocol, "linux64");
  assert.equal(state.regs.rip, 0x100_0200);
  assert.equal(state.regs.rsi, ZERO_PAGE);
  assert.deepEqual([...memory.view(gpa(0x100_0000 - 1), 2)], [0, 0xab]);
  assert.deepEqual([...memory.view(gpa(0x100_0000 + BODY - 1), 2)], [0xab, 0]);
});

Deno.test("the zero page carries the kernel's own header and what the loader adds", () => {
  const { memory } = boot({
    cmdline: "console=ttyS0 ü",
    initrd: sourceOf(Uint8Array.of(1, 2)),
    acpi: { root: 0xe_1230, bytes: Uint8Array.of(1, 2, 3) },
  });
  const page = (offset: number) => gpa(ZERO_PAGE + offset);
  assert.equal(memory.getU16(page(0x206)), 0x20f, "protocol version is the kernel's");
  assert.equal(memory.getU16(page(0x1fe)), 0xaa55);
  assert.equal(memory.getU16(page(0x210)), 0x01ff, "loader 0xff, LOADED_HIGH");
  assert.equal(memory.getU32(page(0x260)), 8 * MIB);
  const cmdline = memory.view(gpa(memory.getU32(page(0x228))), 17);
  assert.equal(new TextDecoder().decode(cmdline.slice()), "console=ttyS0 ü\0");
  assert.equal(memory.getU32(page(0x218)), 64 * MIB - 4096);
  assert.equal(memory.getU32(page(0x21c)), 2);
  assert.equal(wide(memory, ZERO_PAGE + 0x70), 0xe_1230);
  assert.deepEqual([...memory.view(gpa(0xe_122f), 5)], [0, 1, 2, 3, 0], "the tables themselves");
  assert.equal(wide(memory, ZERO_PAGE + 0x250), 0, "no setup_data");
  assert.equal(memory.view(page(0x1e8), 1)[0], 3);
  assert.deepEqual(
    [0, 8, 20, 28, 40, 48].map((at) => wide(memory, ZERO_PAGE + 0x2d0 + at)),
    [0, 0x9fc00, 0x9fc00, 0x60400, MIB, 63 * MIB],
  );
  assert.deepEqual([16, 36, 56].map((at) => memory.getU32(page(0x2d0 + at))), [1, 2, 1]);
});

Deno.test("without ACPI tables the zero page names no root pointer", () => {
  const { memory } = boot({ vcpus: 1 });
  assert.equal(wide(memory, ZERO_PAGE + 0x70), 0);
  assert(isZero(new Uint32Array(memory.view(gpa(0xe_0000), 0x1_0000).slice().buffer)));
});

Deno.test("page tables map 4 GiB and the RAM above it with 2 MiB pages", () => {
  // 4 GiB of heap would be too much for a unit test: a second region far up stands for it.
  const memory = heapGuestMemory([{ base: 0, size: 64 * MIB }, {
    base: 5 * 2 ** 30,
    size: 4 * MIB,
  }]);
  const { state } = boot({ memory });
  const resolve = (address: number): number | undefined => {
    const level = (table: number, shift: number) => {
      const entry = wide(memory, table + (Math.floor(address / 2 ** shift) % 512) * 8);
      return entry % 2 === 1 ? entry : undefined;
    };
    const pdpt = level(state.sregs.cr3, 39);
    const directory = pdpt === undefined ? undefined : level(pdpt - 3, 30);
    const page = directory === undefined ? undefined : level(directory - 3, 21);
    if (page === undefined) return undefined;
    assert.equal(page % 4096, 0x83, "present, writable, large");
    return page - 0x83 + address % 2 ** 21;
  };
  for (const address of [0, 0x7123, 0x100_0200, 0xd000_0004, 0xffff_ffff, 5 * 2 ** 30 + 3 * MIB]) {
    assert.equal(resolve(address), address);
  }
  assert.equal(resolve(5 * 2 ** 30 + 4 * MIB), undefined);
});

Deno.test("the GDT in memory matches the selectors", () => {
  const { memory, state } = boot();
  const at = state.sregs.gdt.base;
  assert.equal(state.sregs.gdt.limit, 47);
  const entry = (
    selector: number,
  ) => [memory.getU32(gpa(at + selector)), memory.getU32(gpa(at + selector + 4))];
  assert.deepEqual(entry(0x10), [0x0000_ffff, 0x00af_9b00], "64-bit code");
  assert.deepEqual(entry(0x18), [0x0000_ffff, 0x00cf_9300], "flat data");
  assert.deepEqual(entry(0x20), [0x0000_0067, 0x0000_8b00], "busy task");
  assert.deepEqual(entry(0), [0, 0]);
});

Deno.test("inspection of a bzImage names version, extent and limits", () => {
  const info = inspectKernel(sourceOf(bzImage()));
  assert.equal(info.description, "Linux bzImage 6.1.0-test");
  assert.deepEqual([info.format, info.lowest, info.highest], ["bzimage", 16 * MIB, 24 * MIB]);
  assert.deepEqual([info.cmdlineMax, info.initrdMax], [2047, 0x7fff_ffff]);
  const nasty = bzImage((view) => view.setUint8(0x302, 0x1b));
  assert.equal(
    inspectKernel(sourceOf(nasty)).description,
    "Linux bzImage 6.",
    "no escape codes to a terminal",
  );
});

Deno.test("alignment counts for relocatable kernels only; 0 setup sectors means 4", () => {
  const odd = (relocatable: number) =>
    bzImage((view) => {
      view.setBigUint64(0x258, 0x110_0000n, true);
      view.setUint8(0x234, relocatable);
    });
  assert.equal(inspectKernel(sourceOf(odd(1))).lowest, 0x120_0000);
  assert.equal(inspectKernel(sourceOf(odd(0))).lowest, 0x110_0000);
  const old = bzImage((view) => {
    view.setUint8(0x1f1, 0);
    view.setUint32(0x1f4, (BODY + SETUP_SIZE - 5 * 512) / 16, true);
  });
  const { memory } = boot({ kernel: sourceOf(old) });
  assert.deepEqual([...memory.view(gpa(0x100_0000), 1)], [0xab]);
});

Deno.test("bzImages that cannot be entered here are refused", () => {
  const image = (edit: (view: DataView) => void) => ({ kernel: sourceOf(bzImage(edit)) });
  refused(
    image((v) => v.setUint16(0x206, 0x204, true)),
    "KERNEL_FORMAT",
    /boot protocol 2\.04, 2\.12/,
  );
  refused(image((v) => v.setUint16(0x236, 2, true)), "KERNEL_ARCH", /without a 64-bit entry/);
  refused(image((v) => v.setUint8(0x211, 0)), "KERNEL_FORMAT", /zImage/);
  refused(
    image((v) => v.setUint32(0x1f4, 0, true)),
    "KERNEL_CORRUPT",
    /protected-mode part is empty/,
  );
  refused(image((v) => v.setUint32(0x230, 3, true)), "KERNEL_CORRUPT", /alignment 0x3/);
  refused(
    image((v) => v.setBigUint64(0x258, 0x1000n, true)),
    "KERNEL_CORRUPT",
    /prefers address 0x1000/,
  );
  refused(image((v) => v.setUint8(0x201, 0xff)), "KERNEL_CORRUPT", /header ends at 0x301/);
  refused(image((v) => v.setUint8(0x201, 0x10)), "KERNEL_CORRUPT", /header ends at 0x212/);
  refused(
    image((v) => v.setUint32(0x1f4, BODY / 16 + 1, true)),
    "KERNEL_TRUNCATED",
    /protected-mode part needs bytes/,
  );
  refused(
    image((v) => v.setUint32(0x24c, BODY + 1, true)),
    "KERNEL_TRUNCATED",
    /compressed kernel needs bytes up to 5121/,
  );
  refused({ kernel: sourceOf(bzImage().slice(0, 0x250)) }, "KERNEL_TRUNCATED", /setup header/);
  refused(
    image((v) => v.setUint32(0x260, 60 * MIB, true)),
    "KERNEL_TOO_BIG",
    /to 0x4c00000, the machine has 64 MiB/,
    /--mem 96M/,
  );
});

Deno.test("what is no kernel is named", () => {
  refused(
    { kernel: sourceOf(Uint8Array.of(0x1f, 0x8b, 8, 0), "vmlinux.gz") },
    "KERNEL_FORMAT",
    /^Kernel 'vmlinux\.gz' is not a kernel: it is a gzip archive$/,
    /gunzip/,
  );
  refused({ kernel: sourceOf(new Uint8Array(0)) }, "KERNEL_FORMAT", /it is empty/);
});

Deno.test("initrds go as high as the kernel allows and never onto it", () => {
  const place = (size: number, edit?: (view: DataView) => void) => {
    const { memory } = boot({ kernel: sourceOf(bzImage(edit)), initrd: sparse(size) });
    const base = memory.getU32(gpa(ZERO_PAGE + 0x218));
    assert.deepEqual([...memory.view(gpa(base + size - 1), 1)], [0x5a]);
    return base;
  };
  assert.equal(place(5000), 64 * MIB - 8192);
  assert.equal(place(40 * MIB), 24 * MIB, "touches the end of the kernel's room");
  assert.equal(place(15 * MIB, (v) => v.setUint32(0x260, 48 * MIB, true)), MIB, "below the kernel");
  assert.equal(place(4096, (v) => v.setUint32(0x22c, 32 * MIB - 1, true)), 32 * MIB - 4096);
});

Deno.test("initrds that do not fit say what would help", () => {
  refused(
    { initrd: sparse(70 * MIB, "big.img") },
    "INITRD_TOO_BIG",
    /^Initrd 'big\.img' of 70 MiB does not fit into 64 MiB of memory beside the kernel$/,
    /--mem 192M$/,
  );
  refused({ initrd: sparse(0, "i") }, "INITRD_EMPTY", /'i' is empty/);
  const low = sourceOf(bzImage((v) => v.setUint32(0x22c, 28 * MIB - 1, true)));
  refused(
    { kernel: low, initrd: sparse(20 * MIB) },
    "INITRD_TOO_BIG",
    /below 0x1c00000, the highest address/,
    /smaller initrd/,
  );
});

Deno.test("command lines are measured in bytes against the kernel's own limit", () => {
  boot({ cmdline: "x".repeat(2047) });
  refused(
    { cmdline: "x".repeat(2048) },
    "CMDLINE_TOO_LONG",
    /2048 bytes long, this kernel takes 2047/,
    /by 1 bytes/,
  );
  refused({ cmdline: "ü".repeat(1024) }, "CMDLINE_TOO_LONG", /2048 bytes/);
  refused({ cmdline: "a\nb" }, "CMDLINE_INVALID", /line break/);
  refused({ cmdline: "a\0b" }, "CMDLINE_INVALID", /NUL/);
  const short = sourceOf(bzImage((view) => view.setUint32(0x238, 255, true)));
  refused({ kernel: short, cmdline: "x".repeat(256) }, "CMDLINE_TOO_LONG", /takes 255/);
  const endless = sourceOf(bzImage((view) => view.setUint32(0x238, 0xffff_ffff, true)));
  assert.equal(inspectKernel(endless).cmdlineMax, 65535, "never beyond the place we have for it");
});

Deno.test("a device tree is handed over as setup_data of type 2, apart from the initrd", () => {
  const deviceTree = new Uint8Array(100).fill(0x11);
  new DataView(deviceTree.buffer).setUint32(0, 0xd00d_feed);
  new DataView(deviceTree.buffer).setUint32(4, 100);
  const { memory } = boot({ deviceTree, initrd: sparse(4096) });
  const at = wide(memory, ZERO_PAGE + 0x250);
  assert.equal(wide(memory, at), 0, "last of the list");
  assert.equal(memory.getU32(gpa(at + 8)), 2);
  assert.equal(memory.getU32(gpa(at + 12)), 100);
  assert.deepEqual([...memory.view(gpa(at + 16), 100)], [...deviceTree]);
  assert.equal(at, 64 * MIB - 4096);
  assert.equal(memory.getU32(gpa(ZERO_PAGE + 0x218)), 64 * MIB - 8192);
  refused({ deviceTree: new Uint8Array(100) }, "DEVICE_TREE_INVALID", /magic number/);
  refused({ deviceTree: deviceTree.slice(0, 99) }, "DEVICE_TREE_INVALID", /size is wrong/);
  const huge = new Uint8Array(41 * MIB);
  huge.set(deviceTree);
  refused({ deviceTree: huge }, "DEVICE_TREE_TOO_BIG", /41 MiB does not fit/, /--mem 96M/);
});

Deno.test("a random seed follows the device tree in the setup_data list", () => {
  const deviceTree = new Uint8Array(101);
  new DataView(deviceTree.buffer).setUint32(0, 0xd00d_feed);
  new DataView(deviceTree.buffer).setUint32(4, 101);
  const rngSeed = new Uint8Array(32).fill(0x5a);
  const { memory } = boot({ deviceTree, rngSeed });
  const first = wide(memory, ZERO_PAGE + 0x250);
  const second = wide(memory, first);
  assert.equal(second % 16, 0);
  assert.ok(second >= first + 16 + 101, "behind the device tree");
  assert.equal(memory.getU32(gpa(second + 8)), 9);
  assert.equal(memory.getU32(gpa(second + 12)), 32);
  assert.deepEqual([...memory.view(gpa(second + 16), 32)], [...rngSeed]);
  assert.equal(wide(memory, second), 0, "last of the list");
});

Deno.test("a read error of an image passes through", () => {
  const kernel: ImageSource = {
    ...sourceOf(bzImage()),
    read(offset, into) {
      if (offset > 0) throw new RangeError("disk gone");
      into.set(bzImage().subarray(0, into.length));
    },
  };
  assert.throws(() => boot({ kernel }), /disk gone/);
});

Deno.test("the MP table names processors, IOAPIC and lines, with sums that Linux checks", () => {
  const { memory } = boot({ vcpus: 3 });
  const sum = (at: number, length: number) =>
    memory.view(gpa(at), length).reduce((total, byte) => total + byte, 0) % 256;
  const text = (at: number) => String.fromCharCode(...memory.view(gpa(at), 4));
  assert.equal(text(0x9fc00), "_MP_");
  assert.equal(sum(0x9fc00, 16), 0);
  const at = memory.getU32(gpa(0x9fc04));
  const length = memory.getU16(gpa(at + 4));
  assert.equal(text(at), "PCMP");
  assert.equal(sum(at, length), 0);
  assert.equal(length, 44 + 3 * 20 + 20 * 8);
  assert.equal(memory.getU16(gpa(at + 34)), 3 + 20);
  assert.equal(memory.getU32(gpa(at + 36)), 0xfee0_0000);
  const cpus = [0, 1, 2].map((i) => [...memory.view(gpa(at + 44 + i * 20), 4)]);
  assert.deepEqual(cpus, [[0, 0, 0x14, 3], [0, 1, 0x14, 1], [0, 2, 0x14, 1]]);
  const rest = at + 44 + 60;
  assert.deepEqual([...memory.view(gpa(rest + 8), 8)], [2, 3, 0x11, 1, 0, 0, 0xc0, 0xfe]);
  assert.deepEqual([...memory.view(gpa(rest + 16 + 5 * 8), 8)], [3, 0, 0, 0, 0, 5, 3, 5]);
  assert.deepEqual([...memory.view(gpa(rest + 16 + 128), 16)], [
    ...[4, 3, 0, 0, 0, 0, 0, 0],
    ...[4, 1, 0, 0, 0, 0, 0xff, 1],
  ]);
});

Deno.test("the MP table fits for any number of processors and yields to a device tree and ACPI", () => {
  const { memory } = boot({ vcpus: 300 });
  const at = memory.getU32(gpa(0x9fc04));
  assert(at + memory.getU16(gpa(at + 4)) <= 0x10_0000);
  const deviceTree = new Uint8Array(40);
  new DataView(deviceTree.buffer).setUint32(0, 0xd00d_feed);
  new DataView(deviceTree.buffer).setUint32(4, 40);
  const acpi = { root: 0xe_0000, bytes: Uint8Array.of(1) };
  for (const other of [boot(), boot({ vcpus: 1, deviceTree }), boot({ vcpus: 1, acpi })]) {
    assert.equal(other.memory.getU32(gpa(0x9fc00)), 0);
  }
});
