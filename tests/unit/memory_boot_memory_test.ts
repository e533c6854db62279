/** What loaders ask of RAM, of both that answer: with views over all of it, and with views piece by piece. */
import { assertEquals, assertFalse, assertThrows } from "../../src/std/assert.ts";
import { type BootMemory, PiecewiseMemory } from "../../src/memory/boot_memory.ts";
import { gpa, GuestFault, heapGuestMemory } from "../../src/memory/guest_memory.ts";
import { HIGH_BASE } from "../support/guest_ram.ts";

const LOW_SIZE = 0x2000;
const HIGH_SIZE = 0x1000;
const HIGH_FIRST = [{ base: HIGH_BASE, size: HIGH_SIZE }, { base: 0, size: LOW_SIZE }];

/** One after the other in this process, in the order of the list. */
function piecewise(): PiecewiseMemory {
  const process = new Uint8Array(HIGH_SIZE + LOW_SIZE);
  const at = 0x7000_0000_0000;
  return new PiecewiseMemory([
    { base: HIGH_BASE, size: HIGH_SIZE, hostAddress: at },
    { base: 0, size: LOW_SIZE, hostAddress: at + HIGH_SIZE },
  ], (address, length) => process.subarray(address - at, address - at + length));
}

const KINDS: readonly [string, () => BootMemory][] = [
  ["views over all of it", () => heapGuestMemory(HIGH_FIRST)],
  ["views of pieces", piecewise],
];

for (const [kind, fresh] of KINDS) {
  Deno.test(`${kind}: regions are sorted by address, and sizes add up`, () => {
    const memory = fresh();
    assertEquals(memory.regions.map(({ base }) => Number(base)), [0, HIGH_BASE]);
    assertEquals(memory.size, LOW_SIZE + HIGH_SIZE);
  });

  Deno.test(`${kind}: what is written is there, in its region and no other`, () => {
    const memory = fresh();
    memory.write(gpa(0x10), Uint8Array.of(1, 2, 3));
    memory.write(gpa(HIGH_BASE), Uint8Array.of(4));
    assertEquals([...memory.view(gpa(0xf), 5)], [0, 1, 2, 3, 0]);
    assertEquals([...memory.view(gpa(HIGH_BASE), 2)], [4, 0]);
    assertEquals(memory.view(gpa(0), 1)[0], 0);
  });

  Deno.test(`${kind}: a view is the bytes themselves, and can be of none`, () => {
    const memory = fresh();
    const view = memory.view(gpa(0x100), 2);
    memory.write(gpa(0x101), Uint8Array.of(9));
    assertEquals([...view], [0, 9]);
    assertEquals(memory.view(gpa(LOW_SIZE), 0).length, 0);
  });

  Deno.test(`${kind}: nothing outside of a region is touched`, () => {
    const memory = fresh();
    for (const end of [LOW_SIZE, HIGH_BASE + HIGH_SIZE]) {
      memory.view(gpa(end - 5), 5);
      assertThrows(() => memory.view(gpa(end - 5), 6), GuestFault, "outside guest RAM");
      assertThrows(() => memory.write(gpa(end), Uint8Array.of(1)), GuestFault);
      assertFalse(memory.contains(end - 1, 2));
    }
    assertThrows(() => memory.view(gpa(HIGH_BASE - 1), 2), GuestFault);
    assertEquals(memory.find(HIGH_BASE, HIGH_SIZE)?.size, HIGH_SIZE);
    assertEquals(memory.find(-1, 1), undefined);
    assertEquals(memory.find(0, -1), undefined);
  });
}
