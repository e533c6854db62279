/** The serial port's input: who reads it, and how a full port and its host come to terms. */
import { SERIAL_INPUT_POLLED, SERIAL_INPUT_STALLED } from "../../devices/legacy/serial.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { FakeSerial, FakeSerialLine, REGISTER } from "../support/fake_serial.ts";

const { DATA, IER, LSR } = REGISTER;
const ENABLE_RECEIVED = 1;
const READS = 64;

function bytesFrom(start: number, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => start + i);
}

function readStatus(serial: FakeSerial, times: number): void {
  for (let i = 0; i < times; i++) serial.port.read(LSR);
}

/** A line whose guest has shown that it reads input by polling. */
function polledLine(receiveBytes?: number): FakeSerialLine {
  const line = new FakeSerialLine(undefined, receiveBytes);
  readStatus(line, READS);
  line.takeWakes();
  return line;
}

Deno.test("the 64th look at the line status without sending says that the guest polls, once", () => {
  const serial = new FakeSerial();
  readStatus(serial, READS - 1);
  assertEquals([serial.wakes, serial.word(SERIAL_INPUT_POLLED)], [0, 0]);
  readStatus(serial, 1);
  assertEquals([serial.wakes, serial.word(SERIAL_INPUT_POLLED)], [1, 1]);
  readStatus(serial, 10 * READS);
  serial.print("x");
  serial.takeWakes();
  readStatus(serial, 10 * READS);
  assertEquals(serial.wakes, 0);
});

Deno.test("a guest that looks at the line status before each character does not poll", () => {
  const serial = new FakeSerial();
  for (let i = 0; i < 1000; i++) {
    readStatus(serial, READS - 1);
    serial.print("x");
  }
  assertEquals(serial.word(SERIAL_INPUT_POLLED), 0);
});

Deno.test("input stays with the host until the guest reads", () => {
  const line = new FakeSerialLine();
  line.terminal.type(bytesFrom(1, 10));
  line.print("booting\n");
  line.loop.advance(1000);
  assertEquals([line.terminal.waiting, line.receive.length, line.edges], [10, 0, 0]);
});

Deno.test("a guest that polls gets what was typed ahead, without an interrupt", () => {
  const line = new FakeSerialLine();
  line.terminal.type(bytesFrom(1, 10));
  readStatus(line, READS);
  assertEquals([line.readAll(), line.edges], [[...bytesFrom(1, 10)], 0]);
});

Deno.test("a receive interrupt that stays on for 20 ms is a reader", () => {
  const line = new FakeSerialLine();
  line.terminal.type(bytesFrom(1, 3));
  line.port.write(IER, ENABLE_RECEIVED);
  line.loop.advance(19);
  assertEquals([line.terminal.waiting, line.edges], [3, 0]);
  line.loop.advance(1);
  assertEquals([line.terminal.waiting, line.edges, line.readAll()], [0, 1, [1, 2, 3]]);
});

Deno.test("a receive interrupt that flashes is a probe, not a reader", () => {
  const line = new FakeSerialLine();
  line.terminal.type(bytesFrom(1, 3));
  line.port.write(IER, ENABLE_RECEIVED);
  line.loop.advance(5);
  line.port.write(IER, 0);
  line.loop.advance(100);
  line.print("more output\n");
  assertEquals([line.terminal.waiting, line.receive.length, line.loop.pendingTimers], [3, 0, 0]);
});

Deno.test("after a flash the next receive interrupt gets its own 20 ms and is a reader", () => {
  const line = new FakeSerialLine();
  line.terminal.type(bytesFrom(1, 3));
  line.port.write(IER, ENABLE_RECEIVED);
  line.port.write(IER, 0);
  line.loop.advance(30);
  line.port.write(IER, ENABLE_RECEIVED);
  line.loop.advance(19);
  assertEquals(line.terminal.waiting, 3);
  line.loop.advance(1);
  assertEquals(line.readAll(), [1, 2, 3]);
});

Deno.test("two flashes 19 ms apart are not a reader either", () => {
  const line = new FakeSerialLine();
  line.terminal.type(bytesFrom(1, 3));
  line.port.write(IER, ENABLE_RECEIVED);
  line.port.write(IER, 0);
  line.loop.advance(19);
  line.port.write(IER, ENABLE_RECEIVED);
  line.loop.advance(1);
  line.port.write(IER, 0);
  line.loop.advance(100);
  assertEquals([line.terminal.waiting, line.receive.length], [3, 0]);
});

Deno.test("wake-ups while the 20 ms run do not start them again", () => {
  const line = new FakeSerialLine();
  line.terminal.type(bytesFrom(1, 3));
  line.port.write(IER, ENABLE_RECEIVED);
  for (let i = 0; i < 4; i++) {
    line.loop.advance(4);
    line.print("output\n");
  }
  assertEquals(line.loop.pendingTimers, 1);
  line.loop.advance(4);
  assertEquals(line.readAll(), [1, 2, 3]);
});

Deno.test("input that comes together is one edge, and none while the interrupt is off", () => {
  const line = polledLine();
  line.port.write(IER, ENABLE_RECEIVED);
  line.takeEdges();
  line.terminal.type(bytesFrom(1, 200));
  assertEquals(line.takeEdges(), 1);
  line.readAll();
  line.port.write(IER, 0);
  line.terminal.type(bytesFrom(1, 200));
  assertEquals([line.takeEdges(), line.readAll().length], [0, 200]);
});

Deno.test("no input is no edge", () => {
  const line = polledLine();
  line.port.write(IER, ENABLE_RECEIVED);
  line.takeEdges();
  line.host.readable();
  line.host.woken();
  assertEquals(line.edges, 0);
});

Deno.test("a reader that lets the port run half empty asks for more, once", () => {
  const serial = new FakeSerial(16, 8);
  serial.arrive(...bytesFrom(0, 8));
  serial.setWord(SERIAL_INPUT_STALLED, 1);
  for (let i = 0; i < 3; i++) serial.port.read(DATA);
  assertEquals([serial.wakes, serial.word(SERIAL_INPUT_STALLED)], [0, 1]);
  serial.port.read(DATA);
  assertEquals([serial.wakes, serial.word(SERIAL_INPUT_STALLED)], [1, 0]);
  for (let i = 0; i < 5; i++) serial.port.read(DATA);
  assertEquals(serial.wakes, 1);
});

Deno.test("a port whose host has nothing more is emptied without a wake-up", () => {
  const line = polledLine(8);
  line.terminal.type(bytesFrom(0, 8));
  line.takeWakes();
  assertEquals(line.readAll().length, 8);
  // The host looked whether there was more; there was not, so nobody has to be told.
  assertEquals(line.wakes, 0);
});

Deno.test("input of many times the port's size arrives whole and in order", () => {
  const line = polledLine(16);
  const typed = bytesFrom(0, 5000);
  line.terminal.type(typed);
  assertEquals([line.receive.length, line.word(SERIAL_INPUT_STALLED)], [16, 1]);
  assertEquals(line.readAll(), [...typed]);
  assertEquals(line.word(SERIAL_INPUT_STALLED), 0);
});

Deno.test("an interrupt-driven reader gets an edge for each refill", () => {
  const line = polledLine(16);
  line.port.write(IER, ENABLE_RECEIVED);
  line.takeEdges();
  const typed = bytesFrom(0, 100);
  line.terminal.type(typed);
  const read: number[] = [];
  for (let turns = 0; line.takeEdges() > 0 && turns < 100; turns++) read.push(...line.readAll());
  assertEquals(read, [...typed]);
});

Deno.test("room made between a full port and the stalled mark is used at once", () => {
  const line = polledLine(4);
  const push = line.receive.push.bind(line.receive);
  let raced = false;
  line.receive.push = (byte) => {
    const pushed = push(byte);
    if (!pushed && !raced) {
      raced = true;
      line.receive.pop(); // the guest, before it could see the mark
    }
    return pushed;
  };
  line.terminal.type(bytesFrom(0, 6));
  assertEquals([raced, line.receive.length], [true, 4]);
  assertEquals(line.readAll(), [1, 2, 3, 4, 5]);
});
