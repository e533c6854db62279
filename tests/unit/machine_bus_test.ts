/** The bus: which window answers, what empty addresses read, and what leaves the vCPU's thread. */
import { VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INTERRUPT_STATUS } from "../../src/abi/virtio.ts";
import { ControlBlock } from "../../src/ipc/control_block.ts";
import { MailboxCaller, MailboxServer } from "../../src/ipc/mailbox.ts";
import type { RegisterMirror } from "../../src/ipc/register_mirror.ts";
import { Bus, type ByteRegisters } from "../../src/machine/bus.ts";
import type { Window } from "../../src/machine/windows.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { MmioInterrupt } from "../../transports/mmio_interrupt.ts";
import { InterruptSink } from "../support/interrupt_sink.ts";

const SERIAL = 0x3f8;
const PLATFORM = 0xd000_0000;
const VIRTIO = 0xd000_1000;
const SLOT = 0x1000;

const WINDOWS: readonly Window[] = [
  { kind: "serial", space: "pio", base: SERIAL, size: 8 },
  { kind: "exit", space: "pio", base: 0xf4, size: 1 },
  { kind: "rtc", space: "pio", base: 0x70, size: 2 },
  { kind: "platform", space: "mmio", base: PLATFORM, size: SLOT },
  { kind: "virtio-mmio", space: "mmio", base: VIRTIO, size: SLOT, device: 0 },
  { kind: "virtio-mmio", space: "mmio", base: VIRTIO + SLOT, size: SLOT, device: 1 },
  { kind: "virtio-mmio", space: "mmio", base: VIRTIO + 2 * SLOT, size: SLOT, device: 2 },
];

/** Reads as 0x80 + offset; writes down what is written. */
class Registers implements ByteRegisters {
  readonly log: string[] = [];

  read(offset: number): number {
    this.log.push(`read ${offset}`);
    return (0x80 + offset) & 0xff;
  }

  write(offset: number, value: number): void {
    this.log.push(`write ${offset} ${value}`);
  }
}

class Stand {
  readonly serial = new Registers();
  readonly platform = new Registers();
  readonly lines = [new InterruptSink(), new InterruptSink()];
  readonly interrupts: readonly MmioInterrupt[];
  readonly mirrors: readonly RegisterMirror[];
  /** What went to the I/O thread. */
  readonly mail: string[] = [];
  answer = 0;
  readonly pio: Bus;
  readonly mmio: Bus;

  constructor() {
    const shape = { vcpus: 1, devices: 2 };
    const block = ControlBlock.create(shape);
    const server = new MailboxServer(block, 1);
    const mailbox = new MailboxCaller(block, 0, () => {
      server.serve({
        read: (window, offset, size) => {
          this.mail.push(`read ${window} ${offset} ${size}`);
          return this.answer;
        },
        write: (window, offset, size, value, done) => {
          this.mail.push(`write ${window} ${offset} ${size} ${value}`);
          done();
        },
      });
      server.arm();
    });
    this.interrupts = this.lines.map((line, i) =>
      new MmioInterrupt(block.words, block.interruptStatus(i), line)
    );
    const legacy = new Map<Window["kind"], ByteRegisters>([
      ["serial", this.serial],
      ["platform", this.platform],
    ]);
    this.mirrors = [0, 1].map((device) => block.mirror(device));
    const parts = { legacy, interrupts: this.interrupts, mirrors: this.mirrors, mailbox };
    this.pio = new Bus("pio", WINDOWS, parts);
    this.mmio = new Bus("mmio", WINDOWS, parts);
  }

  interrupt(device: number): MmioInterrupt {
    return this.interrupts[device] ?? new MmioInterrupt(new Int32Array(1), 0, new InterruptSink());
  }
}

Deno.test("a window answers from its first to its last byte and no further", () => {
  const { pio, serial } = new Stand();
  const read = [SERIAL - 1, SERIAL, SERIAL + 7, SERIAL + 8].map((port) => pio.read(port, 1));
  assertEquals(read, [0xff, 0x80, 0x87, 0xff]);
  for (const port of [SERIAL - 1, SERIAL + 8]) pio.write(port, 1, 1);
  pio.write(SERIAL + 7, 1, 0x55);
  assertEquals(serial.log, ["read 0", "read 7", "write 7 85"]);
});

Deno.test("an address nobody claims reads as ones of the access's width", () => {
  const { mmio, pio } = new Stand();
  for (const bus of [mmio, pio]) {
    assertEquals([1, 2, 4].map((size) => bus.read(0x1234, size)), [0xff, 0xffff, 0xffff_ffff]);
    bus.write(0x1234, 4, 0);
  }
});

Deno.test("a window without a device behind it floats like an empty address", () => {
  const { mmio, pio, mail } = new Stand();
  assertEquals([pio.read(0x70, 1), mmio.read(VIRTIO + 2 * SLOT, 4)], [0xff, 0xffff_ffff]);
  mmio.write(VIRTIO + 2 * SLOT + 0x70, 4, 1);
  assertEquals(mail, []);
});

Deno.test("the two address spaces are apart", () => {
  const { mmio, pio } = new Stand();
  assertEquals([mmio.read(SERIAL, 1), pio.read(VIRTIO, 1)], [0xff, 0xff]);
});

Deno.test("wide reads of byte registers are put together, lowest byte first", () => {
  const { pio } = new Stand();
  assertEquals(pio.read(SERIAL, 2), 0x8180);
  assertEquals(pio.read(SERIAL + 4, 4), 0x8786_8584);
});

Deno.test("wide writes to byte registers are taken apart, lowest byte first", () => {
  const { pio, serial } = new Stand();
  pio.write(SERIAL + 1, 2, 0xbbaa);
  pio.write(SERIAL + 2, 4, 0xff030201);
  assertEquals(serial.log.slice(0, 2), ["write 1 170", "write 2 187"]);
  assertEquals(serial.log.slice(2), ["write 2 1", "write 3 2", "write 4 3", "write 5 255"]);
});

Deno.test("the part of a wide access beyond its window floats and goes nowhere", () => {
  const { pio, serial } = new Stand();
  assertEquals(pio.read(SERIAL + 6, 4), 0xffff_8786);
  assertEquals(pio.read(SERIAL + 7, 2), 0xff87);
  serial.log.length = 0;
  pio.write(SERIAL + 6, 4, 0x0403_0201);
  assertEquals(serial.log, ["write 6 1", "write 7 2"]);
});

Deno.test("the platform page is byte registers in memory", () => {
  const { mmio, platform } = new Stand();
  mmio.write(PLATFORM, 4, 7);
  assertEquals(mmio.read(PLATFORM + SLOT - 1, 1), 0x7f);
  assertEquals(platform.log.slice(0, 4), ["write 0 7", "write 1 0", "write 2 0", "write 3 0"]);
});

Deno.test("virtio registers are the I/O thread's, by device number and offset", () => {
  const stand = new Stand();
  stand.answer = 0xfedc_ba98;
  assertEquals(stand.mmio.read(VIRTIO, 4), 0xfedc_ba98);
  stand.mmio.read(VIRTIO + SLOT + SLOT - 1, 1);
  stand.mmio.write(VIRTIO + SLOT + 0x100, 2, 0xffff);
  stand.mmio.write(VIRTIO + SLOT - 4, 4, 0xffff_ffff);
  const expected = ["read 0 0 4", "read 1 4095 1", "write 1 256 2 65535"];
  assertEquals(stand.mail, [...expected, "write 0 4092 4 4294967295"]);
});

Deno.test("reading the interrupt status does not leave the vCPU's thread", () => {
  const stand = new Stand();
  stand.answer = 0x77;
  stand.interrupt(1).queue();
  stand.interrupt(1).config();
  const at = VIRTIO_MMIO_INTERRUPT_STATUS;
  assertEquals([stand.mmio.read(VIRTIO + at, 4), stand.mmio.read(VIRTIO + SLOT + at, 4)], [0, 3]);
  assertEquals(stand.mail, []);
});

Deno.test("acknowledging an interrupt does not leave the vCPU's thread, and hits its device only", () => {
  const stand = new Stand();
  for (const interrupt of stand.interrupts) {
    interrupt.queue();
    interrupt.config();
  }
  stand.mmio.write(VIRTIO + SLOT + VIRTIO_MMIO_INTERRUPT_ACK, 4, 1);
  assertEquals(stand.interrupts.map((interrupt) => interrupt.status()), [3, 2]);
  stand.mmio.write(VIRTIO + VIRTIO_MMIO_INTERRUPT_ACK, 4, 0xffff_ffff);
  assertEquals(stand.interrupts.map((interrupt) => interrupt.status()), [0, 2]);
  assertEquals(stand.mail, []);
});

Deno.test("a bit left over at an acknowledgement gets an edge of its own", () => {
  const stand = new Stand();
  stand.interrupt(0).queue();
  stand.interrupt(0).config();
  const edges = () => stand.lines.map((line) => line.take());
  edges();
  stand.mmio.write(VIRTIO + VIRTIO_MMIO_INTERRUPT_ACK, 4, 1);
  assertEquals(edges(), [1, 0]);
  stand.mmio.write(VIRTIO + VIRTIO_MMIO_INTERRUPT_ACK, 4, 2);
  assertEquals(edges(), [0, 0]);
});

Deno.test("the interrupt registers the other way round, or in part, are the I/O thread's", () => {
  const stand = new Stand();
  stand.mmio.write(VIRTIO + VIRTIO_MMIO_INTERRUPT_STATUS, 4, 1);
  stand.mmio.read(VIRTIO + VIRTIO_MMIO_INTERRUPT_ACK, 4);
  stand.mmio.read(VIRTIO + VIRTIO_MMIO_INTERRUPT_STATUS, 1);
  stand.mmio.read(VIRTIO + VIRTIO_MMIO_INTERRUPT_STATUS, 2);
  stand.mmio.write(VIRTIO + VIRTIO_MMIO_INTERRUPT_ACK, 2, 1);
  const whole = ["write 0 96 4 1", "read 0 100 4"];
  assertEquals(stand.mail, [...whole, "read 0 96 1", "read 0 96 2", "write 0 100 2 1"]);
});

Deno.test("all other virtio registers go to the I/O thread, one message each", () => {
  const stand = new Stand();
  const local = [VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_INTERRUPT_ACK];
  let expected = 0;
  for (let offset = 0; offset < 0x200; offset += 4) {
    if (local.includes(offset)) continue;
    stand.mmio.read(VIRTIO + offset, 4);
    stand.mmio.write(VIRTIO + offset, 4, 0);
    expected += 2;
  }
  assertEquals(stand.mail.length, expected);
});

Deno.test("what is mirrored is read on the vCPU's own thread, what is not is asked for", () => {
  const stand = new Stand();
  stand.answer = 0x55;
  assertEquals(stand.mmio.read(VIRTIO + 4, 4), 0x55); // nothing published yet
  const mirror = stand.mirrors[0];
  mirror?.setRegister(4, 2);
  mirror?.begin(300);
  mirror?.setConfig(8, 0xdead_beef);
  mirror?.end();
  stand.mail.length = 0;
  assertEquals(
    [[4, 4], [4, 2], [5, 4], [0x108, 4], [0x109, 2], [0x22c, 4]].map(([at = 0, size = 0]) =>
      stand.mmio.read(VIRTIO + at, size)
    ),
    [2, 0, 0, 0xdead_beef, 0xadbe, 0],
  );
  assertEquals(stand.mail, []);
  assertEquals([stand.mmio.read(VIRTIO + 0x200, 4), stand.mail], [0x55, ["read 0 512 4"]]);
  assertEquals(stand.mmio.read(VIRTIO + SLOT + 4, 4), 0x55); // the neighbour's is another
});
