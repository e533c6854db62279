/** The run page, decoded: where KVM puts each part of an exit (include/uapi/linux/kvm.h struct kvm_run). */
import { kvm_run, KVM_RUN_UNION } from "../../src/abi/kvm.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { FakeRunPage, PIO_DATA } from "../support/fake_vcpu.ts";

const UNION = 32;
const EMULATION = 1;

/** KVM_EXIT_INTERNAL_ERROR's emulation_failure arm. */
function internalError(
  parts: { suberror: number; ndata: number; flags: number; size: number },
): { readonly suberror: number; readonly instruction: number[] } {
  const run = new FakeRunPage();
  run.view.setUint32(UNION, parts.suberror, true);
  run.view.setUint32(UNION + 4, parts.ndata, true);
  run.view.setBigUint64(UNION + 8, BigInt(parts.flags), true);
  run.view.setUint8(UNION + 16, parts.size);
  for (let i = 0; i < 40; i++) run.view.setUint8(UNION + 17 + i, 0x90 + i);
  const { suberror, instruction } = run.page.internalError();
  return { suberror, instruction: [...instruction] };
}

Deno.test("the union starts behind the head, which ends with the APIC base", () => {
  assertEquals([kvm_run.size, KVM_RUN_UNION, kvm_run.at.exit_reason], [32, 32, 8]);
});

Deno.test("the exit reason is a word of its own", () => {
  const run = new FakeRunPage();
  run.view.setUint32(8, 0xdead_beef, true);
  assertEquals(run.page.exitReason, 0xdead_beef);
});

Deno.test("immediate exit is one byte, set and cleared", () => {
  const run = new FakeRunPage();
  run.page.immediateExit = true;
  assertEquals(run.bytes(0, 3), [0, 1, 0]);
  run.page.immediateExit = false;
  assertEquals(run.bytes(0, 3), [0, 0, 0]);
});

Deno.test("a port write tells direction, size, port, count and place of its data", () => {
  const run = new FakeRunPage();
  run.pio(0xfe34, 2, 1, [0x34, 0x12]);
  const { page } = run;
  assertEquals([page.ioIsWrite, page.ioSize, page.ioPort, page.ioCount], [true, 2, 0xfe34, 1]);
  assertEquals([page.ioDataOffset, page.read(page.ioDataOffset, 2)], [PIO_DATA, 0x1234]);
});

Deno.test("a port read's answer goes where KVM takes it", () => {
  const run = new FakeRunPage();
  run.pio(0x3fd, 1, 1);
  assertEquals([run.page.ioIsWrite, run.page.ioPort], [false, 0x3fd]);
  run.page.write(run.page.ioDataOffset, 1, 0x1ff);
  assertEquals(run.bytes(PIO_DATA - 1, 3), [0, 0xff, 0]);
});

Deno.test("a string instruction's count is not cut to a byte", () => {
  const run = new FakeRunPage();
  run.pio(0x3f8, 1, 4096, []);
  assertEquals(run.page.ioCount, 4096);
});

Deno.test("a memory access above 4 GiB keeps its address", () => {
  const run = new FakeRunPage();
  for (const address of [0xd000_1070, 0xffff_ffff, 0x1_0000_0000, 0x7f_ffff_f004]) {
    run.mmio(address, 4);
    assertEquals(run.page.mmioAddress, address);
  }
});

Deno.test("a memory access tells direction, length and place of its data", () => {
  const run = new FakeRunPage();
  run.mmio(0xd000_0000, 8, [1, 2, 3, 4, 5, 6, 7, 0x88]);
  const { page } = run;
  assertEquals([page.mmioIsWrite, page.mmioLength], [true, 8]);
  const data = page.mmioDataOffset;
  assertEquals([page.read(data, 4), page.read(data + 4, 4)], [0x0403_0201, 0x8807_0605]);
  run.mmio(0xd000_0000, 1);
  assertEquals([page.mmioIsWrite, page.mmioLength], [false, 1]);
});

Deno.test("reads are unsigned and exactly as wide as asked", () => {
  const run = new FakeRunPage();
  run.mmio(0, 8, [0xff, 0xff, 0xff, 0xff, 0xaa]);
  const at = run.page.mmioDataOffset;
  const read = [1, 2, 4].map((size) => run.page.read(at, size));
  assertEquals(read, [0xff, 0xffff, 0xffff_ffff]);
});

Deno.test("writes are little-endian and touch no neighbour", () => {
  const run = new FakeRunPage();
  run.page.write(101, 4, 0xdead_beef);
  run.page.write(107, 2, 0x1_1234);
  assertEquals(run.bytes(100, 10), [0, 0xef, 0xbe, 0xad, 0xde, 0, 0, 0x34, 0x12, 0]);
});

Deno.test("a system event tells its type", () => {
  const run = new FakeRunPage();
  run.view.setUint32(UNION, 3, true);
  assertEquals(run.page.systemEventType, 3);
});

Deno.test("the reason of a refused entry is shown whole", () => {
  const run = new FakeRunPage();
  run.view.setBigUint64(UNION, 0x8000_0021_0000_0007n, true);
  assertEquals(run.page.entryFailureReason, "0x8000002100000007");
});

Deno.test("an emulation failure gives the instruction's bytes", () => {
  const parts = { suberror: EMULATION, ndata: 3, flags: 1, size: 3 };
  assertEquals(internalError(parts), { suberror: 1, instruction: [0x90, 0x91, 0x92] });
});

Deno.test("an instruction is never longer than 15 bytes, whatever the page says", () => {
  const parts = { suberror: EMULATION, ndata: 3, flags: 1, size: 255 };
  assertEquals(internalError(parts).instruction.length, 15);
});

for (
  const [why, parts] of [
    ["the flag is not set", { suberror: EMULATION, ndata: 3, flags: 2, size: 3 }],
    ["KVM gave too few words", { suberror: EMULATION, ndata: 2, flags: 1, size: 3 }],
    ["it was another internal error", { suberror: 2, ndata: 3, flags: 1, size: 3 }],
  ] as const
) {
  Deno.test(`no instruction bytes are made up when ${why}`, () => {
    assertEquals(internalError(parts), { suberror: parts.suberror, instruction: [] });
  });
}

Deno.test("the instruction's bytes are a copy: the page is KVM's again at the next entry", () => {
  const run = new FakeRunPage();
  run.view.setUint32(UNION, EMULATION, true);
  run.view.setUint32(UNION + 4, 3, true);
  run.view.setUint32(UNION + 8, 1, true);
  run.view.setUint8(UNION + 16, 1);
  run.view.setUint8(UNION + 17, 0xf4);
  const { instruction } = run.page.internalError();
  run.view.setUint8(UNION + 17, 0);
  assertEquals([...instruction], [0xf4]);
});
