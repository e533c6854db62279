/** The serial port's registers as a driver finds them (PC16550D data sheet, section 8). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { SERIAL_INPUT_STALLED } from "../../devices/legacy/serial.ts";
import { FakeSerial, REGISTER } from "../support/fake_serial.ts";

const { DATA, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCRATCH } = REGISTER;
const DLAB = 0x80;
const LOOP = 0x10;
const ENABLE_RECEIVED = 1;
const ENABLE_EMPTY = 2;
const NONE = 1;
const EMPTY = 2;
const RECEIVED = 4;

Deno.test("a fresh port has nothing to say: empty transmitter, no interrupt, a carrier", () => {
  const { port } = new FakeSerial();
  const registers = Array.from({ length: 8 }, (_, offset) => port.read(offset));
  assertEquals(registers, [0, 0, NONE, 0, 0, 0x60, 0xb0, 0]);
});

Deno.test("the scratch register keeps any byte, and only that register changes", () => {
  const serial = new FakeSerial();
  for (const value of [0x55, 0xff, 0]) {
    serial.port.write(SCRATCH, value);
    assertEquals(serial.port.read(SCRATCH), value);
  }
  assertEquals([IER, LCR, MCR].map((offset) => serial.port.read(offset)), [0, 0, 0]);
  assertEquals([serial.edges, serial.wakes, serial.takeOutput()], [0, 0, ""]);
});

Deno.test("line and modem status cannot be written", () => {
  const { port } = new FakeSerial();
  port.write(LSR, 0);
  port.write(MSR, 0);
  assertEquals([port.read(LSR), port.read(MSR), port.read(SCRATCH)], [0x60, 0xb0, 0]);
});

Deno.test("the upper half of the interrupt enable register reads as zero", () => {
  const { port } = new FakeSerial();
  port.write(IER, 0xff);
  assertEquals(port.read(IER), 0x0f);
});

Deno.test("the modem control register has five bits", () => {
  const { port } = new FakeSerial();
  port.write(MCR, 0xef);
  assertEquals(port.read(MCR), 0x0f);
});

Deno.test("with DLAB set the first two registers are the divisor", () => {
  const serial = new FakeSerial();
  const { port } = serial;
  port.write(IER, ENABLE_RECEIVED);
  serial.arrive(0x41);
  serial.takeWakes();
  port.write(LCR, DLAB | 3);
  port.write(DATA, 0x34);
  port.write(IER, 0x12);
  assertEquals([port.read(DATA), port.read(IER), port.read(LCR)], [0x34, 0x12, DLAB | 3]);
  port.write(DATA, 0x01);
  assertEquals([port.read(DATA), port.read(IER)], [0x01, 0x12]);
  assertEquals([serial.wakes, serial.takeOutput()], [0, ""], "a divisor is not output");
  port.write(LCR, 3);
  assertEquals([port.read(IER), port.read(DATA)], [ENABLE_RECEIVED, 0x41]);
});

Deno.test("FIFO enable shows in the top bits of the interrupt identification", () => {
  const { port } = new FakeSerial();
  port.write(FCR, 1);
  assertEquals(port.read(IIR), 0xc0 | NONE);
  port.write(FCR, 0);
  assertEquals(port.read(IIR), NONE);
});

Deno.test("clearing the receive FIFO throws input away, clearing the other one does not", () => {
  const serial = new FakeSerial();
  serial.arrive(1, 2, 3);
  serial.port.write(FCR, 0x05);
  assertEquals(serial.port.read(LSR), 0x61);
  serial.port.write(FCR, 0x03);
  assertEquals([serial.port.read(LSR), serial.port.read(DATA)], [0x60, 0]);
});

Deno.test("clearing the receive FIFO makes room that a stalled I/O thread hears of", () => {
  const serial = new FakeSerial(16, 4);
  serial.arrive(1, 2, 3, 4);
  serial.setWord(SERIAL_INPUT_STALLED, 1);
  serial.port.write(FCR, 0x03);
  assertEquals([serial.word(SERIAL_INPUT_STALLED), serial.wakes], [0, 1]);
});

Deno.test("data ready lasts as long as there is data, which comes in order", () => {
  const serial = new FakeSerial();
  serial.arrive(0x61, 0, 0xff);
  assertEquals(serial.readAll(), [0x61, 0, 0xff]);
  assertEquals([serial.port.read(LSR), serial.port.read(DATA)], [0x60, 0]);
});

Deno.test("received data is identified before the empty transmitter, and until it is read", () => {
  const serial = new FakeSerial();
  const { port } = serial;
  serial.arrive(0x61);
  port.write(IER, ENABLE_RECEIVED | ENABLE_EMPTY);
  assertEquals([port.read(IIR), port.read(IIR)], [RECEIVED, RECEIVED]);
  port.read(DATA);
  assertEquals(port.read(IIR), EMPTY, "the lower source was kept");
  assertEquals(port.read(IIR), NONE, "reading it as the source clears it");
});

Deno.test("a source that is not enabled is not identified", () => {
  const serial = new FakeSerial();
  serial.arrive(0x61);
  serial.print("x");
  assertEquals([serial.port.read(IIR), serial.edges], [NONE, 0]);
  serial.port.write(IER, ENABLE_EMPTY);
  assertEquals(serial.port.read(IIR), EMPTY);
});

Deno.test("switching the transmitter interrupt on is an edge, every time", () => {
  const serial = new FakeSerial();
  for (let i = 0; i < 3; i++) {
    serial.port.write(IER, ENABLE_EMPTY);
    assertEquals([serial.takeEdges(), serial.port.read(IIR)], [1, EMPTY]);
    serial.port.write(IER, 0);
    assertEquals([serial.takeEdges(), serial.port.read(IIR)], [0, NONE]);
  }
});

Deno.test("writing the interrupt enable register without a change is no edge", () => {
  const serial = new FakeSerial();
  serial.port.write(IER, ENABLE_EMPTY);
  serial.takeEdges();
  serial.port.write(IER, ENABLE_EMPTY);
  assertEquals(serial.edges, 0);
});

Deno.test("each byte sent is an edge while the transmitter interrupt is on", () => {
  const serial = new FakeSerial();
  serial.port.write(IER, ENABLE_EMPTY);
  serial.port.read(IIR);
  serial.takeEdges();
  serial.print("ab");
  assertEquals([serial.takeEdges(), serial.port.read(IIR)], [2, EMPTY]);
  serial.port.write(IER, 0);
  serial.print("c");
  assertEquals(serial.edges, 0);
});

Deno.test("switching the receive interrupt on is an edge when data waits, and always a wake-up", () => {
  const serial = new FakeSerial();
  serial.port.write(IER, ENABLE_RECEIVED);
  assertEquals([serial.takeEdges(), serial.takeWakes()], [0, 1]);
  serial.port.write(IER, 0);
  assertEquals(serial.takeWakes(), 0);
  serial.arrive(0x61);
  serial.port.write(IER, ENABLE_RECEIVED);
  assertEquals([serial.takeEdges(), serial.takeWakes()], [1, 1]);
});

const LOOPED: readonly (readonly [output: string, control: number, status: number])[] = [
  ["none", 0x0, 0x00],
  ["DTR as DSR", 0x1, 0x20],
  ["RTS as CTS", 0x2, 0x10],
  ["OUT1 as RI", 0x4, 0x40],
  ["OUT2 as DCD", 0x8, 0x80],
  ["all of them", 0xf, 0xf0],
];
for (const [output, control, status] of LOOPED) {
  Deno.test(`loop mode shows ${output} in the modem status`, () => {
    const { port } = new FakeSerial();
    port.write(MCR, LOOP | control);
    assertEquals(port.read(MSR), status);
    port.write(MCR, control);
    assertEquals(port.read(MSR), 0xb0);
  });
}

Deno.test("in loop mode a byte comes back and does not go out", () => {
  const serial = new FakeSerial();
  serial.port.write(MCR, LOOP);
  serial.print("echo");
  assertEquals(serial.wakes, 0);
  assertEquals(serial.readAll(), [...new TextEncoder().encode("echo")]);
  serial.port.write(MCR, 0);
  assertEquals(serial.takeOutput(), "");
});

Deno.test("in loop mode a byte that came back interrupts like any other", () => {
  const serial = new FakeSerial();
  serial.port.write(IER, ENABLE_RECEIVED);
  serial.port.write(MCR, LOOP);
  serial.print("x");
  assertEquals([serial.edges, serial.port.read(IIR)], [1, RECEIVED]);
});

Deno.test("no register access touches words outside the port's own", () => {
  const serial = new FakeSerial();
  for (let offset = 0; offset < 8; offset++) {
    serial.port.write(offset, 0xff);
    serial.port.read(offset);
  }
  assert(serial.guardsIntact);
});
