/** The platform page: each register ends the run in its own way, and nothing else on the page does. */
import {
  PLATFORM_EXIT,
  PLATFORM_RESET,
  PLATFORM_RESET_VALUE,
  PLATFORM_SLEEP_CONTROL,
  PLATFORM_SLEEP_STATUS,
  PLATFORM_SLEEP_TYPE_S5,
} from "../../src/abi/platform.ts";
import { PlatformPage } from "../../devices/legacy/platform_page.ts";
import { assertEquals, assertNotEquals } from "../../src/std/assert.ts";

const PAGE_SIZE = 4096;

/** What a page reports when `value` is written to `offset`. */
function write(offset: number, value: number): string[] {
  const events: string[] = [];
  const page = new PlatformPage({
    exit: (status) => events.push(`exit ${status}`),
    powerOff: () => events.push("poweroff"),
    reset: () => events.push("reset"),
  });
  page.write(offset, value);
  return events;
}

Deno.test("the exit register ends the run with the byte written to it", () => {
  assertEquals(PLATFORM_EXIT, 0, "the contract's place");
  for (let value = 0; value < 256; value++) assertEquals(write(0, value), [`exit ${value}`]);
});

Deno.test("sleep control switches off for soft-off with SLP_EN, and for nothing else", () => {
  for (let value = 0; value < 256; value++) {
    // ACPI 6.5, table 4.19: SLP_TYP in bits 2 to 4, SLP_EN in bit 5; the others are ignored.
    const isSoftOff = (value & 0b0011_1100) === 0b0010_0000 + (PLATFORM_SLEEP_TYPE_S5 << 2);
    assertEquals(write(PLATFORM_SLEEP_CONTROL, value), isSoftOff ? ["poweroff"] : [], `${value}`);
  }
  // What Linux writes (hwesleep.c acpi_hw_extended_sleep).
  assertEquals(write(PLATFORM_SLEEP_CONTROL, 0x34), ["poweroff"]);
});

Deno.test("the reset register resets for its value, and for no other", () => {
  for (let value = 0; value < 256; value++) {
    const expected = value === PLATFORM_RESET_VALUE ? ["reset"] : [];
    assertEquals(write(PLATFORM_RESET, value), expected, `${value}`);
  }
  for (const careless of [0, 1, 0xff]) assertNotEquals(PLATFORM_RESET_VALUE, careless);
});

Deno.test("no other byte of the page does anything", () => {
  const used = [PLATFORM_EXIT, PLATFORM_SLEEP_CONTROL, PLATFORM_RESET];
  for (let offset = 0; offset < PAGE_SIZE; offset++) {
    if (used.includes(offset)) continue;
    for (const value of [0, 0x34, PLATFORM_RESET_VALUE, 0xff]) {
      assertEquals(write(offset, value), [], `${value} at ${offset}`);
    }
  }
});

Deno.test("clearing the wake status, as Linux does before it sleeps, is harmless", () => {
  assertEquals(write(PLATFORM_SLEEP_STATUS, 0x80), []);
});

Deno.test("all of the page reads as 0: no wake-up ever happened", () => {
  const page = new PlatformPage({ exit() {}, powerOff() {}, reset() {} });
  for (let offset = 0; offset < PAGE_SIZE; offset++) assertEquals(page.read(offset), 0);
});
