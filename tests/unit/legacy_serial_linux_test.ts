/** What Linux 6.1 does to a serial port before it trusts it (drivers/tty/serial/8250/8250_port.c). */
import type { SerialPort } from "../../devices/legacy/serial.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { FakeSerial, REGISTER } from "../support/fake_serial.ts";

const { DATA, IER, IIR, FCR, LCR, MCR, LSR, MSR } = REGISTER;
const EFR = 2;
const MODE_A = 0x80;
const MODE_B = 0xbf;
const LOOP = 0x10;

/** autoconfig(), without the quirks of boards we are not. */
function autoconfig(port: SerialPort): string {
  const scratch = port.read(IER);
  port.write(IER, 0);
  const off = port.read(IER) & 0x0f;
  port.write(IER, 0x0f);
  const on = port.read(IER) & 0x0f;
  port.write(IER, scratch);
  if (off !== 0 || on !== 0x0f) return "no port: the interrupt enable register";
  const control = port.read(MCR);
  port.write(MCR, LOOP | 0x0a);
  const looped = port.read(MSR) & 0xf0;
  port.write(MCR, control);
  if (looped !== 0x90) return "no port: the loop test";
  port.write(LCR, MODE_B);
  port.write(EFR, 0);
  port.write(LCR, 0);
  port.write(FCR, 1);
  const kinds = ["8250", "unknown", "16550", autoconfig16550a(port)];
  return kinds[port.read(IIR) >> 6] ?? "nothing";
}

/** autoconfig_16550a(): the tests that would take the port for a relative of the 16550A. */
function autoconfig16550a(port: SerialPort): string {
  port.write(LCR, MODE_A);
  if (port.read(EFR) === 0) return "16650";
  port.write(LCR, MODE_B);
  if (port.read(EFR) === 0) return "16650V2";
  if (isNationalSuper(port)) return "NS16550A";
  port.write(LCR, 0);
  port.write(FCR, 1);
  const plain = port.read(IIR) >> 5;
  port.write(FCR, 0);
  port.write(LCR, MODE_A);
  port.write(FCR, 0x21);
  const deep = port.read(IIR) >> 5;
  port.write(FCR, 0);
  port.write(LCR, 0);
  port.write(FCR, 1);
  if (plain === 6 && deep === 7) return "16750";
  port.write(IER, 0x40);
  const hasUnitEnable = (port.read(IER) & 0x40) !== 0;
  port.write(IER, 0);
  return hasUnitEnable ? "XScale" : "16550A";
}

/** ns16550a_goto_highspeed()'s way to find out whether register 2 of bank 0xe0 follows the loop bit. */
function isNationalSuper(port: SerialPort): boolean {
  port.write(LCR, 0);
  const control = port.read(MCR);
  port.write(LCR, 0xe0);
  const before = port.read(2);
  if (((before ^ control) & LOOP) !== 0) return false;
  port.write(LCR, 0);
  port.write(MCR, control ^ LOOP);
  port.write(LCR, 0xe0);
  const after = port.read(2);
  port.write(LCR, 0);
  port.write(MCR, control);
  return ((after ^ control) & LOOP) !== 0;
}

Deno.test("Linux takes the port for a 16550A", () => {
  const serial = new FakeSerial();
  assertEquals(autoconfig(serial.port), "16550A");
  assertEquals(serial.takeOutput(), "", "probing prints nothing");
  assert(serial.guardsIntact);
});

Deno.test("probing leaves the port as it found it", () => {
  const serial = new FakeSerial();
  autoconfig(serial.port);
  serial.port.write(FCR, 0);
  assertEquals([IER, IIR, LCR, MCR, LSR].map((at) => serial.port.read(at)), [0, 1, 0, 0, 0x60]);
});

Deno.test("Linux's start-up finds neither of the two transmitter bugs it looks for", () => {
  const { port } = new FakeSerial();
  // serial8250_THRE_test(): the second enabling must interrupt like the first.
  port.write(IER, 2);
  const first = port.read(IIR);
  port.write(IER, 0);
  port.write(IER, 2);
  const second = port.read(IIR);
  port.write(IER, 0);
  assertEquals([first & 1, second & 1], [0, 0]);
  // serial8250_do_startup(), UART_BUG_TXEN: enabling while the transmitter is empty must interrupt.
  port.write(IER, 2);
  assertEquals([port.read(LSR) & 0x40, port.read(IIR) & 1], [0x40, 0]);
});

Deno.test("a console line printed with interrupts off and on again keeps waiting input", () => {
  const serial = new FakeSerial();
  serial.port.write(IER, 5);
  serial.arrive(0x61);
  serial.takeEdges();
  // serial8250_console_write()
  const enabled = serial.port.read(IER);
  serial.port.write(IER, 0);
  serial.print("[ 0.1] hello\n");
  serial.port.write(IER, enabled);
  assertEquals(serial.takeEdges(), 1, "the edge that came meanwhile is given again");
  assertEquals([serial.port.read(IIR), serial.port.read(DATA)], [4, 0x61]);
});
