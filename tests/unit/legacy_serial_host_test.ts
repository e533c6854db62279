/** The serial port's output on the I/O thread's side: when it goes out, and what a slow host does to it. */
import { SERIAL_OUTPUT_ANNOUNCED, SERIAL_OUTPUT_URGENT } from "../../devices/legacy/serial.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { FakeSerialLine } from "../support/fake_serial.ts";

Deno.test("a serial line is open from the start", () => {
  assertEquals(new FakeSerialLine().terminal.opened, [true]);
});

Deno.test("output without a newline is gathered for 2 ms", () => {
  const line = new FakeSerialLine();
  line.print("lo");
  line.loop.advance(1);
  line.print("gin: ");
  assertEquals([line.terminal.text, line.loop.pendingTimers], ["", 1]);
  line.loop.advance(1);
  assertEquals([line.terminal.text, line.loop.pendingTimers], ["login: ", 0]);
});

Deno.test("a drain makes the next character announce itself again", () => {
  const line = new FakeSerialLine();
  line.print("a");
  line.loop.advance(2);
  assertEquals([line.word(SERIAL_OUTPUT_ANNOUNCED), line.word(SERIAL_OUTPUT_URGENT)], [0, 0]);
  line.print("b");
  line.loop.advance(2);
  assertEquals([line.terminal.text, line.wakes], ["ab", 2]);
});

Deno.test("a newline sends everything at once and ends the gathering", () => {
  const line = new FakeSerialLine();
  line.print("one");
  assertEquals(line.loop.pendingTimers, 1);
  line.print(" line\n");
  assertEquals([line.terminal.text, line.loop.pendingTimers], ["one line\n", 0]);
  assertEquals([line.word(SERIAL_OUTPUT_ANNOUNCED), line.word(SERIAL_OUTPUT_URGENT)], [0, 0]);
});

Deno.test("a ring that is more than half full is emptied at once", () => {
  const line = new FakeSerialLine(64);
  line.print("x".repeat(32));
  assertEquals(line.terminal.text, "");
  line.print("y");
  assertEquals(line.terminal.text, `${"x".repeat(32)}y`);
});

Deno.test("more than one chunk goes out in one drain", () => {
  const line = new FakeSerialLine();
  line.onWake = () => {};
  const text = Array.from({ length: 2000 }, (_, i) => `line ${i}\n`).join("").slice(0, 15_000);
  line.print(text);
  line.host.woken();
  assertEquals([line.terminal.text === text, line.transmit.length], [true, 0]);
});

Deno.test("a wake-up for something else sends nothing early", () => {
  const line = new FakeSerialLine();
  line.print("prompt");
  line.host.woken();
  line.host.woken();
  assertEquals([line.terminal.text, line.loop.pendingTimers], ["", 1]);
});

Deno.test("a host that takes a part gets the rest when it has room, in order", () => {
  const line = new FakeSerialLine();
  line.terminal.room = 4;
  line.print("0123456789\n");
  assertEquals([line.terminal.text, line.transmit.length], ["0123", 7]);
  line.terminal.makeRoom(3);
  assertEquals(line.terminal.text, "0123456");
  line.print("more\n");
  line.terminal.makeRoom(100);
  assertEquals([line.terminal.text, line.transmit.length], ["0123456789\nmore\n", 0]);
});

Deno.test("while the host takes nothing the guest waits, and all of it arrives later", () => {
  const line = new FakeSerialLine(16);
  const text = Array.from({ length: 40 }, (_, i) => `line ${i}\n`).join("");
  line.terminal.room = 0;
  let waits = 0;
  line.transmit.onWait = () => {
    waits++;
    line.terminal.makeRoom(5);
  };
  line.print(text);
  line.terminal.makeRoom(Infinity);
  assertEquals(line.terminal.text, text);
  assertEquals(waits > text.length / 10, true, `${waits} waits`);
});

Deno.test("each drain lets sleeping vCPUs look for room", () => {
  const line = new FakeSerialLine(16);
  let woken = 0;
  line.transmit.wake = () => woken++;
  line.print("abc\n");
  assertEquals(woken, 1);
});

Deno.test("drain takes what was never announced, for the end of the machine", () => {
  const line = new FakeSerialLine();
  line.onWake = () => {};
  line.print("last words");
  line.host.drain();
  assertEquals(line.terminal.text, "last words");
});

Deno.test("bytes that are no text pass unchanged", () => {
  const line = new FakeSerialLine();
  for (let byte = 255; byte >= 0; byte--) line.port.write(0, byte);
  line.host.drain();
  assertEquals(line.terminal.printed, Uint8Array.from({ length: 256 }, (_, i) => 255 - i));
});
