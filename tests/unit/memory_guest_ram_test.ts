/** The poison compare of the test RAM itself: it has to notice what tests rely on it to notice. */
import { assertEquals } from "../../src/std/assert.ts";
import { gpa } from "../../src/memory/guest_memory.ts";
import { GuestRam, HIGH_BASE, littleEndian } from "../support/guest_ram.ts";

Deno.test("a single byte changed behind the driver's back is found, low or high", () => {
  for (const at of [0, 0x1003, HIGH_BASE, HIGH_BASE + 0x3_ffff]) {
    const ram = new GuestRam();
    ram.memory.view(gpa(at), 1)[0] = 1;
    assertEquals(ram.firstForeignChange(), at);
  }
});

Deno.test("what the driver writes and what the device may write is no foreign change", () => {
  const ram = new GuestRam();
  ram.set(0x2000, 4, 0x1234_5678);
  ram.allow(0x3001, 2);
  ram.memory.write(gpa(0x3001), Uint8Array.of(1, 2));
  assertEquals(ram.firstForeignChange(), undefined);
  ram.memory.write(gpa(0x3003), Uint8Array.of(3));
  assertEquals(ram.firstForeignChange(), 0x3003);
});

Deno.test("a sealed range must not change any more", () => {
  const ram = new GuestRam();
  ram.allow(0x3000, 4);
  ram.memory.setU32(gpa(0x3000), 1);
  ram.seal(0x3000, 4);
  assertEquals(ram.firstForeignChange(), undefined);
  ram.memory.setU32(gpa(0x3000), 2);
  assertEquals(ram.firstForeignChange(), 0x3000);
});

Deno.test("little-endian bytes keep all 64 bits", () => {
  assertEquals([...littleEndian(0xffff_0000_1234_5678n, 8)], [
    0x78,
    0x56,
    0x34,
    0x12,
    0,
    0,
    0xff,
    0xff,
  ]);
});
