/** Processor state in KVM's layouts, boot MSRs, and the CPUID filter. */
import assert from "node:assert/strict";
import * as arch from "../../src/arch/vm.ts";
import { linux64State, pvhState } from "../../src/arch/x86_64/boot_state.ts";
import { kvm_regs, kvm_segment, kvm_sregs } from "../../src/abi/kvm_x86.ts";

type Entry = arch.CpuidEntry;

function leaf(fn: number, words: Partial<Entry> = {}): Entry {
  return { function: fn, index: 0, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0, ...words };
}

const ALL = 0xffff_ffff;
const INTEL = leaf(0, { eax: 0x20, ebx: 0x756e_6547 });
const AMD = leaf(0, { eax: 0x10, ebx: 0x6874_7541 });

function filtered(
  entries: Entry[],
  request: Partial<arch.CpuidRequest> = {},
): (fn: number, index?: number) => Entry | undefined {
  const result = arch.filterCpuid(entries, {
    vcpuId: 0,
    vcpuCount: 1,
    tscDeadline: false,
    ...request,
  });
  return (fn, index = 0) => result.find((entry) => entry.function === fn && entry.index === index);
}

Deno.test("registers are written in two halves at KVM's offsets", () => {
  const bytes = arch.encodeRegs(linux64State(0x12_3456_7890, 0x7000));
  const view = new DataView(bytes.buffer);
  assert.equal(bytes.length, 144);
  assert.equal(view.getBigUint64(kvm_regs.at.rip, true), 0x12_3456_7890n);
  assert.equal(view.getBigUint64(kvm_regs.at.rsi, true), 0x7000n);
  assert.equal(view.getBigUint64(kvm_regs.at.rbx, true), 0n);
  assert.equal(view.getBigUint64(kvm_regs.at.rflags, true), 2n);
  const pvh = new DataView(arch.encodeRegs(pvhState(0x100_0000, 0x2000)).buffer);
  assert.equal(pvh.getBigUint64(kvm_regs.at.rbx, true), 0x2000n);
});

Deno.test("special registers: long mode for the 64-bit entry, flat 32 bits for PVH, the rest left alone", () => {
  const bytes = new Uint8Array(kvm_sregs.size).fill(0xee);
  const view = new DataView(bytes.buffer);
  const wide = (at: number) => view.getBigUint64(at, true);
  arch.applySregs(bytes, linux64State(0, 0));
  const { at } = kvm_sregs;
  assert.deepEqual([wide(at.cr0), wide(at.cr3), wide(at.cr4), wide(at.efer)], [
    0x8000_0011n,
    0x18000n,
    0x20n,
    0x500n,
  ]);
  const segment = (base: number) => ({
    selector: view.getUint16(base + kvm_segment.at.selector, true),
    limit: view.getUint32(base + kvm_segment.at.limit, true),
    bits: [
      kvm_segment.at.type,
      kvm_segment.at.present,
      kvm_segment.at.s,
      kvm_segment.at.db,
      kvm_segment.at.l,
      kvm_segment.at.g,
      kvm_segment.at.unusable,
    ].map((offset) => view.getUint8(base + offset)),
  });
  assert.deepEqual(segment(at.cs), { selector: 0x10, limit: ALL, bits: [11, 1, 1, 0, 1, 1, 0] });
  for (const data of [at.ds, at.es, at.fs, at.gs, at.ss]) {
    assert.deepEqual(segment(data), { selector: 0x18, limit: ALL, bits: [3, 1, 1, 1, 0, 1, 0] });
  }
  assert.deepEqual(segment(at.tr), { selector: 0x20, limit: 0x67, bits: [11, 1, 0, 0, 0, 0, 0] });
  assert.equal(wide(at.gdt), 0x1000n);
  assert.equal(view.getUint16(at.gdt + 8, true), 47);
  assert.equal(wide(at.apic_base), 0xeeee_eeee_eeee_eeeen);
  assert.equal(wide(at.cr8), 0xeeee_eeee_eeee_eeeen);
  arch.applySregs(bytes, pvhState(0, 0));
  assert.deepEqual([wide(at.cr0), wide(at.cr3), wide(at.cr4), wide(at.efer)], [0x11n, 0n, 0n, 0n]);
  assert.deepEqual(segment(at.cs).bits, [11, 1, 1, 1, 0, 1, 0]);
});

Deno.test("FPU and local APIC start as after reset, with LINT0 open for the 8259", () => {
  const fpu = new DataView(arch.encodeFpu().buffer);
  assert.equal(fpu.byteLength, 416);
  assert.equal(fpu.getUint16(128, true), 0x37f);
  assert.equal(fpu.getUint32(408, true), 0x1f80);
  const page = new Uint8Array(1024).fill(0xff);
  arch.applyLapic(page);
  const view = new DataView(page.buffer);
  assert.equal(view.getUint32(0x350, true), 0x700);
  assert.equal(view.getUint32(0x360, true), 0x400);
  assert.equal(view.getUint32(0x370, true), ALL);
});

Deno.test("boot MSRs are encoded with their count; memory is write-back", () => {
  const view = new DataView(arch.encodeMsrs(arch.BOOT_MSRS).buffer);
  assert.equal(view.getUint32(0, true), arch.BOOT_MSRS.length);
  assert.equal(view.byteLength, 8 + 16 * arch.BOOT_MSRS.length);
  const found = new Map(
    arch.BOOT_MSRS.map((
      _,
      i,
    ) => [view.getUint32(8 + i * 16, true), view.getUint32(16 + i * 16, true)]),
  );
  assert.equal(found.get(0x2ff), 0x806);
  assert.equal(found.get(0x1a0), 1);
  assert.equal(found.get(0xc000_0082), 0);
  assert.equal(found.get(0x10), 0);
});

Deno.test("CPUID: entries survive encoding", () => {
  const entries = [
    leaf(7, { index: 1, flags: 1, eax: ALL, ebx: 2, ecx: 3, edx: 4 }),
    leaf(0x8000_0001),
  ];
  assert.deepEqual(arch.decodeCpuid(arch.encodeCpuid(entries)), entries);
  const room = arch.encodeCpuid([], 256);
  assert.equal(room.length, 8 + 256 * 40);
  assert.equal(new DataView(room.buffer).getUint32(0, true), 256);
});

Deno.test("CPUID 1: APIC id, count, hypervisor, TSC deadline, and no MONITOR", () => {
  const one = filtered([INTEL, leaf(1, { ebx: 0x0710_0801, ecx: ALL, edx: ALL })])(1);
  assert.equal(one?.ebx, 0x0001_0801);
  assert.equal(one?.ecx, ALL - 2 ** 3 - 2 ** 5 - 2 ** 15 - 2 ** 24 - 2 ** 27);
  assert.equal(one?.edx, ALL - 2 ** 28);
  const five = filtered([INTEL, leaf(1, { ebx: 0x0801 })], {
    vcpuId: 4,
    vcpuCount: 5,
    tscDeadline: true,
  })(1);
  assert.equal(five?.ebx, 0x0408_0801, "ids are reserved in powers of two");
  assert.equal(five?.ecx, 2 ** 31 + 2 ** 24);
  assert.equal(five?.edx, 2 ** 28);
});

Deno.test("CPUID 4: L1 is a core's own, L3 is shared by all", () => {
  const cache = (index: number, level: number) =>
    leaf(4, { index, flags: 1, eax: 0xfc1f_c000 + (level << 5) + 1 });
  const at = filtered([INTEL, cache(0, 1), cache(3, 3), leaf(4, { index: 4, flags: 1 })], {
    vcpuCount: 4,
  });
  assert.equal(at(4, 0)?.eax, (3 * 2 ** 26) + (1 << 5) + 1);
  assert.equal(at(4, 3)?.eax, (3 * 2 ** 26) + (3 << 14) + (3 << 5) + 1);
  assert.equal(at(4, 4)?.eax, 0);
});

Deno.test("CPUID 0xb and 0x1f name this machine's topology, not the host's", () => {
  const at = filtered([INTEL, leaf(0xb, { eax: 1, ebx: 2, ecx: 0x100, edx: 77 })], {
    vcpuId: 2,
    vcpuCount: 3,
  });
  for (const fn of [0xb, 0x1f]) {
    assert.deepEqual(at(fn, 0), leaf(fn, { flags: 1, eax: 0, ebx: 1, ecx: 0x100, edx: 2 }));
    assert.deepEqual(
      at(fn, 1),
      leaf(fn, { flags: 1, index: 1, eax: 2, ebx: 3, ecx: 0x201, edx: 2 }),
    );
    assert.deepEqual(at(fn, 2), leaf(fn, { flags: 1, index: 2, ecx: 2, edx: 2 }));
  }
  assert.equal(
    filtered([leaf(0, { eax: 0xa, ebx: INTEL.ebx })])(0xb),
    undefined,
    "not beyond the highest leaf",
  );
  assert.equal(filtered([AMD])(0x1f), undefined);
});

Deno.test("CPUID: host-only features are hidden, the hypervisor's leaves and the rest are kept", () => {
  const at = filtered([
    INTEL,
    leaf(5, { eax: 64 }),
    leaf(6, { eax: ALL, ecx: 9 }),
    leaf(7, { eax: 1, ebx: ALL, ecx: ALL, edx: ALL }),
    leaf(7, { index: 1, eax: ALL, edx: ALL }),
    leaf(0xa, { eax: 0x0730_0404, edx: 3 }),
    leaf(0xd, { eax: 0x600e7 }),
    leaf(0xd, { index: 1, ecx: 0x1900 }),
    leaf(0xd, { index: 2, eax: 256 }),
    leaf(0xd, { index: 18, eax: 8192 }),
    leaf(0x12, { eax: 1 }),
    leaf(0x14, { eax: 1 }),
    leaf(0x1d, { eax: 1 }),
    leaf(0x4000_0000, { eax: 0x4000_0001, ebx: 0x4b4d_564b }),
    leaf(0x4000_0001, { eax: 0x0100_7efb }),
    leaf(0x8000_0001, { ecx: ALL, edx: ALL }),
    leaf(0x8000_0008, { eax: 0x302e, ecx: 0x55 }),
  ]);
  assert.equal(at(5)?.eax, 0);
  assert.deepEqual([at(6)?.eax, at(6)?.ecx], [4, 0]);
  assert.deepEqual([at(7)?.eax, at(7)?.ebx], [1, ALL - 2 ** 2 - 2 ** 25]);
  assert.deepEqual([at(7)?.ecx, at(7)?.edx], [
    ALL - 2 ** 5 - 2 ** 30,
    ALL - 2 ** 22 - 2 ** 24 - 2 ** 25,
  ]);
  assert.deepEqual([at(7, 1)?.eax, at(7, 1)?.edx], [ALL - 2 ** 21, ALL - 2 ** 8]);
  assert.deepEqual([at(0xa)?.eax, at(0xa)?.edx], [0, 0]);
  assert.deepEqual([at(0xd)?.eax, at(0xd, 1)?.ecx, at(0xd, 2)?.eax, at(0xd, 18)], [
    0xe7,
    0x1800,
    256,
    undefined,
  ]);
  for (const fn of [0x12, 0x14, 0x1d]) assert.equal(at(fn), undefined);
  assert.equal(at(0x4000_0000)?.ebx, 0x4b4d_564b);
  assert.equal(at(0x4000_0001)?.eax, 0x0100_7efb);
  assert.equal(at(0x8000_0001)?.ecx, ALL - bitSum(1, 2, 23, 24, 28, 29));
  assert.equal(at(0x8000_0001)?.edx, ALL);
  assert.equal(at(0x8000_0008)?.ecx, 0x55, "reserved on Intel");
});

Deno.test("CPUID on AMD: counts and ids in the extended leaves", () => {
  const at = filtered([
    AMD,
    leaf(0x8000_0001, { ecx: 0 }),
    leaf(0x8000_0008, { eax: 0x3030, ecx: 0xf_7fff }),
    leaf(0x8000_000a, { eax: 1 }),
    leaf(0x8000_001d, { eax: 0x03ff_c121 }),
    leaf(0x8000_001d, { index: 3, eax: 0x0000_4163 }),
    leaf(0x8000_001e, { eax: 99, ebx: 0x1_0133, ecx: 0x301 }),
    leaf(0x8000_001f, { eax: 1 }),
  ], { vcpuId: 2, vcpuCount: 3 });
  assert.equal(at(0x8000_0001)?.ecx, 2);
  assert.equal(at(0x8000_0008)?.ecx, 0xf_2f02);
  assert.equal(at(0x8000_000a), undefined);
  assert.equal(at(0x8000_001d)?.eax, 0x121);
  assert.equal(at(0x8000_001d, 3)?.eax, (2 << 14) + 0x163);
  assert.deepEqual([at(0x8000_001e)?.eax, at(0x8000_001e)?.ebx, at(0x8000_001e)?.ecx], [2, 2, 0]);
  assert.equal(at(0x8000_001f), undefined);
  assert.equal(
    filtered([AMD, leaf(0x8000_0001, { ecx: 2 })])(0x8000_0001)?.ecx,
    0,
    "one processor",
  );
});

function bitSum(...positions: number[]): number {
  return positions.reduce((sum, n) => sum + 2 ** n, 0);
}
