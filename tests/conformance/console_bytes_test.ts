/** Bytes in and out of a console, its configuration and emergency output (CON-01 to CON-12). */
import { VIRTIO_CONSOLE_F_SIZE } from "../../devices/console/abi.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { VIRTIO_F_VERSION_1 } from "../../src/abi/virtio.ts";
import { ConsoleStand, type PortKind } from "../support/console_stand.ts";
import { concat, pattern } from "../support/guest_ram.ts";
import { MMIO } from "../support/mmio_driver.ts";
import { type Cut, everyBytes, splitAt, UNCUT } from "../support/segments.ts";

const EMERG_WR = 8;
const CONFIG_CHANGE = 2;
const CUTS: readonly Cut[] = [UNCUT, everyBytes(1), everyBytes(7), splitAt(1), splitAt(4096)];

function console(
  name: string,
  run: (stand: ConsoleStand) => void,
  ports: readonly PortKind[] = [{}],
): void {
  Deno.test(`console over mmio: ${name}`, () => {
    const stand = new ConsoleStand(MMIO, ports);
    run(stand);
    stand.checkInvariants();
  });
}

function readConfig({ driver }: ConsoleStand, offset: number, size: 1 | 2 | 4): number {
  return driver.transport.readConfig(offset, size);
}

console("CON-01 one port without a name has two queues", ({ driver }) => {
  assertEquals(driver.existingQueues(), [0, 1]);
});

console("CON-02 four ports have ten queues", ({ driver }) => {
  assertEquals(driver.existingQueues().length, 10);
}, [{}, {}, {}, {}]);

console("CON-03 the configuration has the size, and no port count without MULTIPORT", (stand) => {
  assertEquals([readConfig(stand, 0, 2), readConfig(stand, 2, 2)], [80, 25]);
  assertEquals(readConfig(stand, 4, 4), 0);
  assertEquals(readConfig(stand, EMERG_WR, 4), 0);
});

console("CON-03 with MULTIPORT the port count can be read", (stand) => {
  assertEquals(readConfig(stand, 4, 4), 3);
}, [{}, {}, {}]);

console("CON-04 emergency output works before the driver has said anything", (stand) => {
  stand.driver.reset();
  stand.driver.transport.writeConfig(EMERG_WR, 4, 0x41);
  assertEquals(stand.terminal().text, "A");
});

console("CON-05 only the low byte of emergency output counts", (stand) => {
  stand.driver.transport.writeConfig(EMERG_WR, 4, 0x1234_5641);
  assertEquals(stand.terminal().text, "A");
});

console(
  "CON-06 emergency output works unnegotiated, broken and failed, in every width",
  (stand) => {
    stand.bringUp(VIRTIO_F_VERSION_1);
    stand.driver.transport.writeConfig(EMERG_WR, 1, 0x61);
    stand.queue(1).writeAvailIdx(0x8000);
    stand.driver.transport.kick(1);
    assertEquals(stand.driver.transport.status() & 0x40, 0x40);
    stand.driver.transport.writeConfig(EMERG_WR, 2, 0x62);
    stand.driver.transport.writeStatus(0xff);
    stand.driver.transport.writeConfig(EMERG_WR, 4, 0x63);
    assertEquals(stand.terminal().text, "abc");
  },
);

console("CON-06 writes beside the first byte of emerg_wr print nothing", (stand) => {
  for (const offset of [0, 4, 9, 10, 11]) stand.driver.transport.writeConfig(offset, 1, 0x41);
  assertEquals(stand.terminal().text, "");
});

for (const cut of CUTS) {
  console(`CON-07, VQ-SPLIT-05 output arrives in order, ${cut.name}`, (stand) => {
    const layout = "indirect";
    const first = pattern(900, 1);
    const second = pattern(10, 50);
    stand.driver.call(stand.queue(1), { readable: first, writable: 0 }, { cut, layout });
    stand.driver.call(stand.queue(1), { readable: second, writable: 0 }, { cut, layout });
    assertEquals(stand.terminal().printed, concat(first, second));
  });
}

console("CON-07 output larger than any staging arrives whole", (stand) => {
  const bytes = pattern(40_000, 11);
  stand.send(bytes);
  assertEquals(stand.terminal().printed, bytes);
});

console("CON-08 input fills buffers one after the other, however small", (stand) => {
  const bytes = pattern(7, 3);
  for (const size of [1, 1, 3, 16]) stand.offer(size);
  stand.terminal().type(bytes);
  assertEquals(stand.received(), [
    bytes.slice(0, 1),
    bytes.slice(1, 2),
    bytes.slice(2, 5),
    bytes.slice(5),
  ]);
});

console("CON-08 ten thousand bytes of input arrive whole and in order", (stand) => {
  const bytes = pattern(10_240, 5);
  stand.terminal().type(bytes);
  const got: Uint8Array[] = [];
  for (let i = 0; i < 100 && got.reduce((sum, part) => sum + part.length, 0) < 10_240; i++) {
    stand.offer(300);
    got.push(...stand.received());
  }
  assertEquals(concat(...got), bytes);
});

console("CON-09 input without buffers waits, mostly with the host, and is not lost", (stand) => {
  const bytes = pattern(20_000, 8);
  stand.terminal().type(bytes);
  stand.loop.settle();
  assert(stand.terminal().waiting >= 20_000 - 4096, "at most one staging is fetched");
  stand.offer(20_000);
  stand.offer(20_000);
  stand.offer(20_000);
  stand.offer(20_000);
  stand.offer(20_000);
  assertEquals(concat(...stand.received()), bytes);
});

console("CON-10 a host that does not read holds the ring up, and loses nothing", (stand) => {
  const bytes = pattern(600, 2);
  stand.terminal().room = 100;
  const placed = stand.driver.prepare({ readable: bytes, writable: 0 });
  stand.driver.submit(stand.queue(1), placed);
  stand.loop.settle();
  assertEquals(stand.queue(1).poll(), []);
  assertEquals(stand.terminal().printed.length, 100);
  stand.terminal().makeRoom(1000);
  stand.loop.settle();
  assertEquals(stand.queue(1).poll().length, 1);
  assertEquals(stand.terminal().printed, bytes);
});

console("CON-10 a host that takes a byte at a time gets everything in order", (stand) => {
  const bytes = pattern(50, 6);
  stand.terminal().room = 0;
  stand.driver.submit(stand.queue(1), stand.driver.prepare({ readable: bytes, writable: 0 }));
  for (let i = 0; i < bytes.length; i++) {
    stand.terminal().makeRoom(1);
    stand.loop.settle();
  }
  assertEquals(stand.terminal().printed, bytes);
  assertEquals(stand.queue(1).poll().length, 1);
});

console("CON-10 input flows while output is held up", (stand) => {
  stand.terminal().room = 0;
  stand.driver.submit(
    stand.queue(1),
    stand.driver.prepare({ readable: pattern(10), writable: 0 }),
  );
  stand.offer(10);
  stand.terminal().type(pattern(3));
  assertEquals(stand.received(), [pattern(3)]);
});

console("CON-11, HD-24 a writable buffer in transmit is returned with length 0", (stand) => {
  const answer = stand.driver.call(stand.queue(1), { readable: new Uint8Array(), writable: 20 });
  assertEquals(answer.usedLength, 0);
  assertEquals(stand.terminal().text, "");
});

console(
  "CON-11, HD-23 a readable buffer in receive is returned, and input is not lost",
  (stand) => {
    const readOnly = stand.driver.prepare({ readable: pattern(16), writable: 0 });
    const head = stand.driver.submit(stand.queue(0), readOnly);
    stand.terminal().type(pattern(4, 40));
    stand.loop.settle();
    assertEquals(stand.queue(0).poll(), [{ head, length: 0 }]);
    stand.offer(16);
    assertEquals(stand.received(), [pattern(4, 40)]);
  },
);

console("CON-12 a new size is in the configuration, with a notification", (stand) => {
  const before = stand.driver.transport.configGeneration();
  stand.device.resize(132, 50);
  assertEquals([readConfig(stand, 0, 2), readConfig(stand, 2, 2)], [132, 50]);
  assert(stand.driver.transport.configGeneration() > before);
  assertEquals(stand.driver.transport.interruptStatus() & CONFIG_CHANGE, CONFIG_CHANGE);
});

console("CON-12 without SIZE accepted there is no notification", (stand) => {
  stand.bringUp(stand.driver.offered() & ~VIRTIO_CONSOLE_F_SIZE);
  stand.device.resize(132, 50);
  assertEquals(stand.driver.transport.interruptStatus() & CONFIG_CHANGE, 0);
});

console("CON-12 the size is announced at DRIVER_OK to a driver that has accepted SIZE", (stand) => {
  stand.start();
  assertEquals(stand.readSize(), [80, 25]);
  assertEquals(stand.readSize(), undefined);
  stand.start(stand.driver.offered() & ~VIRTIO_CONSOLE_F_SIZE);
  assertEquals(stand.readSize(), undefined);
});

/**
 * As Linux does (drivers/char/virtio_console.c in_intr, flush_bufs): until its port is listed, some time after
 * DRIVER_OK, what comes back is thrown away.
 */
console(
  "CON-12, CON-17 a driver that discards input until it reads the size loses none",
  (stand) => {
    stand.start();
    for (let i = 0; i < 3; i++) stand.offer(16);
    stand.terminal().type(pattern(5));
    stand.loop.advance(3_600_000); // on a host short of processors this can be long
    const discarded = stand.received();
    stand.readSize();
    assertEquals([discarded, stand.received()], [[], [pattern(5)]]);
  },
);

console("CON-12, CON-17 a driver that prints is taken to read, too", (stand) => {
  stand.start();
  stand.offer(16);
  stand.terminal().type(pattern(5));
  assertEquals(stand.received(), []);
  stand.send(pattern(1));
  assertEquals(stand.received(), [pattern(5)]);
});

console("CON-12, CON-17 a driver without SIZE reads from DRIVER_OK on", (stand) => {
  stand.start(stand.driver.offered() & ~VIRTIO_CONSOLE_F_SIZE);
  stand.offer(16);
  stand.terminal().type(pattern(5));
  assertEquals(stand.received(), [pattern(5)]);
});

console(
  "CON-12, CON-25 what a driver reads before DRIVER_OK, and one before it read, open nothing",
  (stand) => {
    stand.driver.negotiate();
    assertEquals([readConfig(stand, 0, 2), readConfig(stand, 2, 2)], [80, 25]);
    stand.start();
    readConfig(stand, EMERG_WR, 4); // not the size
    stand.offer(16);
    stand.terminal().type(pattern(5));
    assertEquals(stand.received(), []);
    assertEquals(stand.terminal().opened, [true, false]);
  },
);

console("BF-RESET-03 a reset does not wait for a host that does not read", (stand) => {
  stand.terminal().room = 0;
  stand.driver.submit(stand.queue(1), stand.driver.prepare({ readable: pattern(9), writable: 0 }));
  stand.loop.settle();
  assert(stand.driver.transport.writeStatus(0).answered);
  stand.driver.forgetQueues();
  stand.terminal().makeRoom(100);
  stand.loop.settle();
  assertEquals(stand.terminal().printed.length, 0);
});

console("CON-25 a guest that goes away is seen to close, one that comes to open", (stand) => {
  stand.driver.reset();
  stand.bringUp();
  assertEquals(stand.terminal().opened, [true, false, true]);
});

console("CON-10, MMIO-18 stopping the receive queue loses no output", (stand) => {
  const bytes = pattern(30, 4);
  stand.terminal().room = 10;
  stand.driver.submit(stand.queue(1), stand.driver.prepare({ readable: bytes, writable: 0 }));
  stand.driver.transport.disableQueue(0);
  stand.terminal().makeRoom(100);
  stand.loop.settle();
  assertEquals(stand.terminal().printed, bytes);
});
