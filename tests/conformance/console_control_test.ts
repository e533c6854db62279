/** The control protocol of a console with several ports (CON-13 to CON-25, HD-91). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { VIRTIO_CONSOLE_F_MULTIPORT } from "../../devices/console/abi.ts";
import {
  ConsoleStand,
  CONTROL_RECEIVE,
  CONTROL_TRANSMIT,
  controlBytes,
  EVENT,
  type PortKind,
} from "../support/console_stand.ts";
import { pattern } from "../support/guest_ram.ts";
import { MMIO } from "../support/mmio_driver.ts";

const PORTS: readonly PortKind[] = [{ isConsole: true }, { name: "org.test.agent" }];
const PORT_1_RECEIVE = 4;
const PORT_1_TRANSMIT = 5;
const FLOOD = 20_000;

function console(name: string, run: (stand: ConsoleStand) => void): void {
  Deno.test(`console over mmio: ${name}`, () => {
    const stand = new ConsoleStand(MMIO, PORTS);
    run(stand);
    stand.checkInvariants();
  });
}

function events(stand: ConsoleStand): string[] {
  return stand.heard().map(({ id, event, value }) => `${id}:${event}=${value}`);
}

console("CON-14 before DEVICE_READY nothing is announced", (stand) => {
  stand.listen();
  assertEquals(stand.heard(), []);
});

console("CON-13, CON-14, CON-20 DEVICE_READY is answered with one ADD per port", (stand) => {
  stand.listen();
  stand.say(0, EVENT.DEVICE_READY, 1);
  assertEquals(events(stand), ["0:1=1", "1:1=1"]);
});

console("CON-14 DEVICE_READY with value 0 is answered with nothing", (stand) => {
  stand.listen();
  stand.say(0, EVENT.DEVICE_READY, 0);
  assertEquals(stand.heard(), []);
});

console("CON-20 a second DEVICE_READY does not add ports that exist", (stand) => {
  stand.listen();
  stand.say(0, EVENT.DEVICE_READY, 1);
  stand.heard();
  stand.say(0, EVENT.DEVICE_READY, 1);
  assertEquals(events(stand).filter((event) => event.includes(":1=")), []);
});

console("CON-15 a console port that is ready becomes a console, then open", (stand) => {
  stand.listen();
  stand.say(0, EVENT.DEVICE_READY, 1);
  stand.heard();
  stand.say(0, EVENT.PORT_READY, 1);
  const heard = stand.heard().filter(({ event }) => event !== EVENT.RESIZE);
  assertEquals(heard.map(({ id, event, value }) => [id, event, value]), [
    [0, EVENT.CONSOLE_PORT, 1],
    [0, EVENT.PORT_OPEN, 1],
  ]);
});

console("CON-15, CON-18 a named port that is ready is named without NUL, then open", (stand) => {
  stand.listen();
  stand.say(0, EVENT.DEVICE_READY, 1);
  stand.heard();
  stand.say(1, EVENT.PORT_READY, 1);
  const [name, open] = stand.heard();
  assertEquals([name?.id, name?.event], [1, EVENT.PORT_NAME]);
  assertEquals(new TextDecoder().decode(name?.payload), "org.test.agent");
  assertEquals([open?.id, open?.event, open?.value], [1, EVENT.PORT_OPEN, 1]);
});

console("CON-16, CON-17 the host's end learns what the guest opens and closes", (stand) => {
  stand.openPorts();
  stand.say(1, EVENT.PORT_OPEN, 0);
  assertEquals(stand.terminal(1).opened, [true, false]);
});

console("CON-17 neither the size nor output opens a port: its driver says so", (stand) => {
  stand.readSize();
  stand.send(pattern(1), 1);
  stand.offer(16);
  stand.terminal().type(pattern(5));
  assertEquals(stand.received(), []);
  stand.openPorts();
  assertEquals(stand.received(), [pattern(5)]);
});

console("CON-17 input waits until the guest has opened the port", (stand) => {
  stand.offer(16, PORT_1_RECEIVE);
  stand.terminal(1).type(pattern(5));
  assertEquals(stand.received(PORT_1_RECEIVE), []);
  stand.openPorts();
  assertEquals(stand.received(PORT_1_RECEIVE), [pattern(5)]);
});

console("CON-17 ports do not mix: bytes go where they belong", (stand) => {
  stand.openPorts();
  stand.send(pattern(6, 1), 1);
  stand.send(pattern(7, 2), PORT_1_TRANSMIT);
  assertEquals(stand.terminal(0).printed, pattern(6, 1));
  assertEquals(stand.terminal(1).printed, pattern(7, 2));
});

console("CON-12, CON-19, U-07 a resize tells the open console port rows, then columns", (stand) => {
  stand.openPorts();
  stand.device.resize(132, 50);
  const [message, ...rest] = stand.heard();
  assertEquals([message?.id, message?.event], [0, EVENT.RESIZE]);
  assertEquals(message?.payload, Uint8Array.of(50, 0, 132, 0)); // Linux's order (U-07)
  assertEquals(rest, []);
});

console(
  "CON-22, HD-91 short, unknown and misdirected messages are given back and ignored",
  (stand) => {
    stand.openPorts();
    for (let length = 0; length < 8; length++) {
      if (length > 0) {
        stand.send(
          controlBytes(0, EVENT.PORT_READY, 1).slice(0, length),
          CONTROL_TRANSMIT,
        );
      }
    }
    for (const event of [EVENT.PORT_ADD, 2, 4, 5, 7, 8, 0xffff]) stand.say(0, event, 1);
    for (const id of [2, 0xff, 0x8000_0000, 0xffff_ffff]) stand.say(id, EVENT.PORT_READY, 1);
    assertEquals(stand.heard(), []);
    assertEquals(stand.faults, []);
  },
);

console("CON-13 a message with more behind it is understood", (stand) => {
  stand.listen();
  const long = Uint8Array.from([...controlBytes(0, EVENT.DEVICE_READY, 1), ...pattern(100)]);
  stand.send(long, CONTROL_TRANSMIT);
  assertEquals(stand.heard().length, 2);
});

console("CON-23 messages wait for buffers, and come one by one", (stand) => {
  stand.say(0, EVENT.DEVICE_READY, 1);
  stand.listen(1);
  assertEquals(events(stand), ["0:1=1"]);
  stand.listen(1);
  assertEquals(events(stand), ["1:1=1"]);
});

console("CON-24 a control buffer too short for the message does no harm", (stand) => {
  stand.offer(4, CONTROL_RECEIVE);
  stand.say(0, EVENT.DEVICE_READY, 1);
  assertEquals(stand.received(CONTROL_RECEIVE).map((bytes) => bytes.length), [4]);
});

console(`HD-91 ${FLOOD} PORT_READY without buffers leave a handful of answers`, (stand) => {
  const placed = stand.driver.prepare({
    readable: controlBytes(0, EVENT.PORT_READY, 1),
    writable: 0,
  });
  const queue = stand.queue(CONTROL_TRANSMIT);
  for (let i = 0; i < FLOOD; i++) {
    stand.driver.submit(queue, placed);
    if (queue.poll().length === 0) {
      stand.loop.settle();
      queue.poll();
    }
  }
  stand.listen(16);
  const answers = stand.heard();
  assert(answers.length > 0 && answers.length < 16, `${answers.length} answers`);
});

console("CON-25 after a reset ports are announced again, and closed until opened", (stand) => {
  stand.openPorts();
  stand.bringUp();
  assertEquals(stand.terminal(1).opened, [true, false]);
  stand.listen();
  stand.say(0, EVENT.DEVICE_READY, 1);
  assertEquals(events(stand), ["0:1=1", "1:1=1"]);
});

console("CON-01 without MULTIPORT accepted the control queues mean nothing", (stand) => {
  stand.bringUp(stand.driver.offered() & ~VIRTIO_CONSOLE_F_MULTIPORT);
  stand.listen(2);
  assertEquals(stand.heard(), []);
  stand.offer(8);
  stand.terminal().type(pattern(3));
  assertEquals(stand.received(), [pattern(3)]);
});

console("CON-23 a resize before control buffers exist is not lost", (stand) => {
  stand.openPorts();
  while (stand.queue(CONTROL_RECEIVE).outstanding > 0) {
    stand.device.resize(100, 30);
    stand.heard();
  }
  stand.device.resize(101, 31);
  stand.loop.settle();
  stand.listen(1);
  assertEquals(stand.heard().map(({ payload }) => payload), [Uint8Array.of(31, 0, 101, 0)]);
});
