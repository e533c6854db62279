/** The serial port's output on the vCPU's side: how often it wakes the I/O thread, and what a full ring does. */
import { SERIAL_OUTPUT_ANNOUNCED, SERIAL_OUTPUT_URGENT } from "../../devices/legacy/serial.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { FakeSerial, FakeSerialLine, REGISTER } from "../support/fake_serial.ts";

const MANY = 10_000;

Deno.test("10 000 characters without a newline wake twice: for the first, and when half full", () => {
  const serial = new FakeSerial();
  serial.print("x".repeat(8192));
  assertEquals([serial.wakes, serial.word(SERIAL_OUTPUT_URGENT)], [1, 0]);
  serial.print("x".repeat(MANY - 8192));
  assertEquals([serial.wakes, serial.word(SERIAL_OUTPUT_URGENT)], [2, 1]);
  assertEquals(serial.takeOutput(), "x".repeat(MANY));
});

Deno.test("10 000 characters in 200 lines wake twice when nobody comes", () => {
  const serial = new FakeSerial();
  const text = `${"x".repeat(49)}\n`.repeat(200);
  serial.print(text);
  assertEquals([serial.wakes, serial.takeOutput() === text], [2, true]);
});

Deno.test("10 000 characters in 200 lines wake twice a line when the host takes each", () => {
  const line = new FakeSerialLine();
  const text = `${"x".repeat(49)}\n`.repeat(200);
  line.print(text);
  assertEquals([line.wakes, line.terminal.text === text], [400, true]);
});

Deno.test("10 000 characters of an idle prompt wake once for each gathering, not for each character", () => {
  const line = new FakeSerialLine();
  for (let i = 0; i < MANY / 100; i++) {
    line.print("x".repeat(100));
    line.loop.advance(2);
  }
  assertEquals([line.wakes, line.terminal.text.length], [MANY / 100, MANY]);
});

Deno.test("a newline is announced as urgent even when output was announced before", () => {
  const serial = new FakeSerial();
  serial.print("a");
  assertEquals(serial.takeWakes(), 1);
  serial.print("\n");
  assertEquals([serial.takeWakes(), serial.word(SERIAL_OUTPUT_ANNOUNCED)], [1, 1]);
});

Deno.test("when the ring is full the vCPU waits, and loses nothing", () => {
  const serial = new FakeSerial(8);
  const taken: string[] = [];
  let waits = 0;
  serial.transmit.onWait = () => {
    waits++;
    taken.push(serial.takeOutput());
  };
  serial.print("0123456789abcdefgh");
  assertEquals([waits, taken.join("") + serial.takeOutput()], [2, "0123456789abcdefgh"]);
});

Deno.test("a vCPU that waits for room has told the I/O thread and keeps no other vCPU out", () => {
  const serial = new FakeSerial(8);
  serial.print("01234567");
  serial.takeWakes();
  serial.setWord(SERIAL_OUTPUT_URGENT, 0);
  const seen: number[] = [];
  serial.transmit.onWait = () => {
    assert(serial.unlocked, "another vCPU would wait for ever");
    seen.push(serial.wakes, serial.word(SERIAL_OUTPUT_URGENT));
    seen.push(serial.port.read(REGISTER.LSR));
    serial.takeOutput();
  };
  serial.print("8");
  assertEquals(seen, [1, 1, 0x60]);
  assert(serial.unlocked);
});

Deno.test("a sleeper's room comes from another thread: it looks again until there is some", () => {
  const serial = new FakeSerial(8);
  let waits = 0;
  serial.transmit.onWait = () => {
    if (++waits === 3) serial.takeOutput();
  };
  serial.print("012345678");
  assertEquals([waits, serial.takeOutput()], [3, "8"]);
});

Deno.test("once the machine stops, output without room is dropped and the vCPU goes on", () => {
  const serial = new FakeSerial(8);
  serial.transmit.onWait = () => serial.stopping = true;
  serial.print("0123456789abcdef");
  assertEquals(serial.takeOutput(), "01234567");
  assert(serial.unlocked);
  serial.print("x");
  assertEquals(serial.takeOutput(), "x", "with room it still goes out");
});

Deno.test("when the transmitter interrupt is on, a byte that had to wait is an edge as well", () => {
  const serial = new FakeSerial(2);
  serial.port.write(REGISTER.IER, 2);
  serial.takeEdges();
  serial.transmit.onWait = () => serial.takeOutput();
  serial.print("abc");
  assertEquals(serial.takeEdges(), 3);
});
