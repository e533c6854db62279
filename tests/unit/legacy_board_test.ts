/** The small devices of a PC's board: reset line, clock, and our exit register. */
import { ExitRegister } from "../../devices/legacy/exit_register.ts";
import { I8042 } from "../../devices/legacy/i8042.ts";
import { Rtc } from "../../devices/legacy/rtc.ts";
import { assertEquals } from "../../src/std/assert.ts";

Deno.test("the keyboard controller resets on command 0xfe and on nothing else", () => {
  for (let value = 0; value < 256; value++) {
    let resets = 0;
    new I8042(() => resets++).write(0, value);
    assertEquals(resets, value === 0xfe ? 1 : 0, `value ${value}`);
  }
});

Deno.test("the keyboard controller is always ready for a command and never has data", () => {
  const controller = new I8042(() => {});
  // Linux kb_wait() looks at bit 1 before it sends the reset command.
  assertEquals(controller.read(), 0);
});

function clockAt(time: string): (index: number) => number {
  const rtc = new Rtc(() => new Date(time));
  return (index) => {
    rtc.write(0, index);
    return rtc.read(1);
  };
}

Deno.test("the clock tells UTC in binary-coded decimal", () => {
  const cell = clockAt("2026-10-27T21:48:59+02:00"); // 19:48:59 UTC, a Tuesday
  const names = { seconds: 0, minutes: 2, hours: 4, weekday: 6, day: 7, month: 8, year: 9 };
  const read = Object.entries(names).map(([name, index]) => [name, cell(index).toString(16)]);
  assertEquals(Object.fromEntries(read), {
    seconds: "59",
    minutes: "48",
    hours: "19",
    weekday: "3",
    day: "27",
    month: "10",
    year: "26",
  });
});

Deno.test("the clock knows its century", () => {
  for (const [time, century, year] of [["1999-12-31", 0x19, 0x99], ["2100-01-01", 0x21, 0x00]]) {
    const cell = clockAt(`${time}T12:00:00Z`);
    assertEquals([cell(0x32), cell(9)], [century, year] as number[]);
  }
});

Deno.test("Sunday is the first day of the week, Saturday the seventh", () => {
  assertEquals(clockAt("2024-03-03T00:00:00Z")(6), 1);
  assertEquals(clockAt("2024-03-09T23:59:59Z")(6), 7);
});

Deno.test("the status registers say: no update going on, 24 hours, BCD, no interrupt, valid", () => {
  const cell = clockAt("2024-02-29T00:00:00Z");
  assertEquals([cell(0x0a) & 0x80, cell(0x0b), cell(0x0c), cell(0x0d)], [0, 0x02, 0, 0x80]);
});

Deno.test("the alarm and the other cells are zero", () => {
  const cell = clockAt("2024-02-29T23:59:59Z");
  for (const index of [1, 3, 5, 0x0e, 0x10, 0x31, 0x33, 0x47, 0x7f]) assertEquals(cell(index), 0);
});

Deno.test("the bit that masks NMIs is not part of the clock's index", () => {
  assertEquals(clockAt("2024-02-29T00:00:00Z")(0x80 | 7), 0x29);
});

Deno.test("the clock cannot be set, and its index cannot be read", () => {
  const rtc = new Rtc(() => new Date("2024-02-29T10:20:30Z"));
  rtc.write(0, 4);
  rtc.write(1, 0x23);
  assertEquals([rtc.read(1), rtc.read(0)], [0x10, 0xff]);
});

Deno.test("the clock goes on between reads", () => {
  let now = Date.UTC(2024, 0, 1, 0, 0, 9);
  const rtc = new Rtc(() => new Date(now));
  rtc.write(0, 0);
  const before = rtc.read(1);
  now += 1000;
  assertEquals([before, rtc.read(1)], [0x09, 0x10]);
});

Deno.test("the exit register ends the run with the byte written to its first offset", () => {
  const statuses: number[] = [];
  const register = new ExitRegister((status) => statuses.push(status));
  register.write(0, 0);
  register.write(0, 255);
  register.write(0, 0x12a);
  register.write(1, 7);
  register.write(3, 7);
  assertEquals([statuses, register.read(0), register.read(1)], [[0, 255, 0x2a], 0, 0]);
});
