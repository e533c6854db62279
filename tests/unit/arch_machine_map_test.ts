/** Addresses, interrupt lines and command-line words of the x86 machine. */
import assert from "node:assert/strict";
import { architecture, BootError } from "../../src/arch/mod.ts";
import * as map from "../../src/arch/x86_64/memory_map.ts";
import { sizeText } from "../../src/arch/bytes.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const x86 = architecture("x86_64");

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof BootError && error.code === code;
}

Deno.test("RAM leaves the hole from 3 to 4 GiB free", () => {
  assert.deepEqual(x86.ramRanges(128 * MIB), [{ base: 0, size: 128 * MIB }]);
  assert.deepEqual(x86.ramRanges(3 * GIB), [{ base: 0, size: 3 * GIB }]);
  assert.deepEqual(x86.ramRanges(3 * GIB + 4096), [
    { base: 0, size: 3 * GIB },
    { base: 4 * GIB, size: 4096 },
  ]);
  for (const bad of [0, MIB, 4 * MIB + 1, NaN, -4096, 2 ** 60]) {
    assert.throws(() => x86.ramRanges(bad), hasCode("MEMORY_INVALID"), String(bad));
  }
});

Deno.test("e820 keeps the BIOS area out of RAM and covers all the rest", () => {
  const entries = map.e820(x86.ramRanges(5 * GIB));
  assert.deepEqual(entries.map(({ base, size, type }) => [base, base + size, type]), [
    [0, 0x9fc00, 1],
    [0x9fc00, MIB, 2],
    [MIB, 3 * GIB, 1],
    [4 * GIB, 6 * GIB, 1],
  ]);
});

Deno.test("the tables in low memory do not overlap and end below the EBDA", () => {
  const places = [
    { base: map.GDT, size: map.PAGE },
    map.START_INFO,
    map.ZERO_PAGE,
    map.CMDLINE,
    map.PAGE_TABLES,
  ];
  let end = map.PAGE; // page 0 stays free
  for (const { base, size } of places) {
    assert(base >= end, `0x${base.toString(16)}`);
    end = base + size;
  }
  assert(end <= map.EBDA);
});

Deno.test("virtio slots have their own pages in the hole and lines nobody else uses", () => {
  const slots = Array.from({ length: x86.maxVirtioSlots }, (_, i) => x86.virtioSlot(i, `d${i}`));
  assert.equal(slots[0]?.base, 0xd000_1000);
  assert.deepEqual(slots.slice(0, 10).map(({ gsi }) => gsi), [5, 6, 10, 11, 12, 14, 7, 15, 3, 5]);
  const fixedLines = x86.fixedSlots.map(({ gsi }) => gsi);
  let end = map.PLATFORM_PAGE.base + map.PLATFORM_PAGE.size;
  for (const slot of slots) {
    assert.equal(slot.base, end);
    end = slot.base + slot.size;
    assert(!fixedLines.includes(slot.gsi), slot.name);
    assert(![0, 2, 9, 13].includes(slot.gsi ?? 0), slot.name);
  }
  assert(map.PLATFORM_PAGE.base >= map.HOLE_START && end <= map.IOAPIC_BASE);
  assert.throws(() => x86.virtioSlot(32, "one more"), hasCode("TOO_MANY_DEVICES"));
  assert.throws(() => x86.virtioSlot(-1, "x"), hasCode("TOO_MANY_DEVICES"));
});

Deno.test("the command line announces virtio devices only", () => {
  assert.deepEqual(
    x86.deviceWords([...x86.fixedSlots, x86.virtioSlot(0, "a"), x86.virtioSlot(9, "b")]),
    [
      "virtio_mmio.device=4K@0xd0001000:5",
      "virtio_mmio.device=4K@0xd000a000:5",
    ],
  );
  const odd = { ...x86.virtioSlot(0, "a"), size: 0x200 };
  assert.deepEqual(x86.deviceWords([odd]), ["virtio_mmio.device=512@0xd0001000:5"]);
});

Deno.test("an unknown architecture is refused by name", () => {
  assert.throws(() => architecture("sparc"), hasCode("ARCH_UNSUPPORTED"));
  if (Deno.build.arch === "x86_64") assert.equal(architecture(), x86);
});

Deno.test("sizes read as people write them", () => {
  assert.deepEqual([0, 1, 1023, 1024, 1536, 70 * MIB, 1.25 * GIB].map(sizeText), [
    "0 bytes",
    "1 byte",
    "1023 bytes",
    "1 KiB",
    "1.5 KiB",
    "70 MiB",
    "1.3 GiB",
  ]);
});
