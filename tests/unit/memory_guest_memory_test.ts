/** Guest memory: regions, the hole between them, and faults at every edge. */
import { assert, assertEquals, assertThrows } from "../../src/std/assert.ts";
import { gpa, GuestFault, GuestMemory, heapGuestMemory } from "../../src/memory/guest_memory.ts";
import { HIGH_BASE } from "../support/guest_ram.ts";

const LOW_SIZE = 0x2000;
const HIGH_SIZE = 0x1000;

function twoRegions(): GuestMemory {
  return heapGuestMemory([
    { base: HIGH_BASE, size: HIGH_SIZE },
    { base: 0, size: LOW_SIZE },
  ]);
}

Deno.test("regions are sorted by address, and sizes add up", () => {
  const memory = twoRegions();
  assertEquals(memory.regions.map(({ base }) => base), [gpa(0), gpa(HIGH_BASE)]);
  assertEquals(memory.size, LOW_SIZE + HIGH_SIZE);
});

for (
  const { at, length, inside } of [
    { at: 0, length: LOW_SIZE, inside: true },
    { at: LOW_SIZE - 1, length: 1, inside: true },
    { at: LOW_SIZE - 1, length: 2, inside: false },
    { at: LOW_SIZE, length: 0, inside: true },
    { at: LOW_SIZE, length: 1, inside: false },
    { at: LOW_SIZE + 1, length: 0, inside: false },
    { at: HIGH_BASE - 1, length: 1, inside: false },
    { at: HIGH_BASE - 1, length: 2, inside: false },
    { at: HIGH_BASE, length: HIGH_SIZE, inside: true },
    { at: HIGH_BASE + HIGH_SIZE, length: 1, inside: false },
    { at: 0, length: HIGH_BASE + HIGH_SIZE, inside: false },
    { at: 0, length: 0xffff_ffff, inside: false },
    { at: 2 ** 53, length: 1, inside: false },
    { at: 0x10, length: -1, inside: false },
    { at: -1, length: 1, inside: false },
  ]
) {
  const where = `${length} bytes at 0x${at.toString(16)}`;
  Deno.test(`${where} are ${inside ? "inside RAM" : "outside RAM"}`, () => {
    assertEquals(twoRegions().contains(at, length), inside);
  });
}

for (const base of [0, HIGH_BASE]) {
  Deno.test(`numbers at 0x${base.toString(16)} are little-endian, at odd addresses too`, () => {
    const memory = twoRegions();
    memory.setU16(gpa(base + 1), 0xfedc);
    memory.setU32(gpa(base + 5), 0x89ab_cdef);
    memory.setU64(gpa(base + 11), 0x1f_0000_0002_0003);
    assertEquals(memory.getU16(gpa(base + 1)), 0xfedc);
    assertEquals(memory.getU32(gpa(base + 5)), 0x89ab_cdef);
    assertEquals(memory.getU32(gpa(base + 11)), 0x0002_0003);
    assertEquals(memory.getU32(gpa(base + 15)), 0x1f_0000);
    assertEquals([...memory.view(gpa(base + 1), 2)], [0xdc, 0xfe]);
  });
}

for (
  const [name, bytes, access] of [
    ["getU16", 2, (memory: GuestMemory, at: number) => memory.getU16(gpa(at))],
    ["getU32", 4, (memory: GuestMemory, at: number) => memory.getU32(gpa(at))],
    ["setU16", 2, (memory: GuestMemory, at: number) => memory.setU16(gpa(at), 1)],
    ["setU32", 4, (memory: GuestMemory, at: number) => memory.setU32(gpa(at), 1)],
    ["setU64", 8, (memory: GuestMemory, at: number) => memory.setU64(gpa(at), 1)],
    ["read", 5, (memory: GuestMemory, at: number) => memory.read(gpa(at), new Uint8Array(5))],
    ["write", 5, (memory: GuestMemory, at: number) => memory.write(gpa(at), new Uint8Array(5))],
    ["view", 5, (memory: GuestMemory, at: number) => memory.view(gpa(at), 5)],
    ["hostAddress", 5, (memory: GuestMemory, at: number) => memory.hostAddress(gpa(at), 5)],
    ["region", 5, (memory: GuestMemory, at: number) => memory.region(at, 5)],
  ] as const
) {
  Deno.test(`${name} works up to the last byte of a region and faults one byte later`, () => {
    const memory = twoRegions();
    for (const end of [LOW_SIZE, HIGH_BASE + HIGH_SIZE]) {
      access(memory, end - bytes);
      assertThrows(() => access(memory, end - bytes + 1), GuestFault, "outside guest RAM");
    }
    assertThrows(() => access(memory, HIGH_BASE - 1), GuestFault);
  });
}

Deno.test("a write that faults changes nothing", () => {
  const memory = twoRegions();
  assertThrows(() => memory.setU64(gpa(LOW_SIZE - 4), 2 ** 40 + 1), GuestFault);
  assertEquals(memory.getU32(gpa(LOW_SIZE - 4)), 0);
});

Deno.test("a fault names address and length", () => {
  const fault = assertThrows(() => twoRegions().getU32(gpa(0x5000)), GuestFault, "0x5000");
  assertEquals([fault.at, fault.length], [0x5000, 4]);
});

Deno.test("read gives a copy, view the bytes themselves", () => {
  const memory = twoRegions();
  const copy = new Uint8Array(2);
  memory.write(gpa(0x100), Uint8Array.of(1, 2));
  memory.read(gpa(0x100), copy);
  memory.write(gpa(0x100), Uint8Array.of(3, 4));
  assertEquals([...copy], [1, 2]);
  assertEquals([...memory.view(gpa(0x100), 2)], [3, 4]);
});

Deno.test("host addresses count from each region's own base", () => {
  const memory = twoRegions();
  const [low, high] = memory.regions;
  assert(low !== undefined && high !== undefined);
  assertEquals(memory.hostAddress(gpa(0x10), 1) - low.hostBase, 0x10);
  assertEquals(memory.hostAddress(gpa(HIGH_BASE + 0x20), 1) - high.hostBase, 0x20);
});

Deno.test("regions over one buffer see their own part of it", () => {
  const buffer = new ArrayBuffer(0x2000);
  const memory = new GuestMemory([
    { base: 0, hostBase: 0x1000, buffer, size: 0x1000 },
    { base: 0x1_0000, hostBase: 0x2000, buffer, offset: 0x1000 },
  ]);
  memory.setU16(gpa(0x1_0000), 0xabcd);
  assertEquals(memory.getU16(gpa(0)), 0);
  assertEquals(new DataView(buffer).getUint16(0x1000, true), 0xabcd);
});

Deno.test("neighbouring regions are not one: an access across the seam faults", () => {
  const memory = heapGuestMemory([{ base: 0, size: 0x1000 }, { base: 0x1000, size: 0x1000 }]);
  assertThrows(() => memory.getU16(gpa(0xfff)), GuestFault);
  assertEquals(memory.getU16(gpa(0x1000)), 0);
});
