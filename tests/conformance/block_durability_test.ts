/** What a power cut must not take away (BLK-33 to BLK-35), and what runs at the same time (BLK-40, HD-76). */
import {
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_S_OK as OK,
  VIRTIO_BLK_T_FLUSH as FLUSH,
  VIRTIO_BLK_T_WRITE_ZEROES as WRITE_ZEROES,
} from "../../devices/block/abi.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { VIRTIO_F_VERSION_1 } from "../../src/abi/virtio.ts";
import {
  blockCommand,
  blockHeader,
  blockRange,
  blockRead,
  blockStatus,
  blockWrite,
} from "../support/block_requests.ts";
import { BlockStand, type BlockStandSetup } from "../support/block_stand.ts";
import { pattern } from "../support/guest_ram.ts";
import { MMIO } from "../support/mmio_driver.ts";

const WRITEBACK = 0x20;
const DATA = pattern(512, 3);

function block(name: string, run: (stand: BlockStand) => void, setup: BlockStandSetup = {}): void {
  Deno.test(`block over mmio: ${name}`, () => {
    const stand = new BlockStand(MMIO, setup);
    run(stand);
    stand.checkInvariants();
  });
}

function isDurable({ disk }: BlockStand, sector: number): boolean {
  return DATA.every((byte, i) => disk.durable[sector * 512 + i] === byte);
}

block("BLK-04, BLK-35 FLUSH is offered, and so is CONFIG_WCE", ({ driver }) => {
  assert((driver.offered() & VIRTIO_BLK_F_FLUSH) !== 0n);
  assert((driver.offered() & VIRTIO_BLK_F_CONFIG_WCE) !== 0n);
});

block("BLK-33 in write-back mode a write is not made durable by itself", (stand) => {
  stand.call(blockWrite(1, DATA));
  assert(!isDurable(stand, 1));
});

block("BLK-34 a completed FLUSH makes earlier writes durable", (stand) => {
  stand.call(blockWrite(1, DATA));
  stand.call(blockCommand(FLUSH));
  assert(isDurable(stand, 1));
});

block(
  "BLK-33 a driver that knows neither FLUSH nor CONFIG_WCE gets durable writes",
  (stand) => {
    stand.call(blockWrite(1, DATA));
    assert(isDurable(stand, 1));
  },
  { without: VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_CONFIG_WCE },
);

block(
  "BLK-05 CONFIG_WCE without FLUSH starts in write-through mode",
  (stand) => {
    assertEquals(stand.driver.transport.readConfig(WRITEBACK, 1), 0);
    stand.call(blockWrite(1, DATA));
    assert(isDurable(stand, 1));
  },
  { without: VIRTIO_BLK_F_FLUSH },
);

block("BLK-07, BLK-33 writeback = 0 makes every write durable, 1 no more", (stand) => {
  stand.driver.transport.writeConfig(WRITEBACK, 1, 0);
  assertEquals(stand.driver.transport.readConfig(WRITEBACK, 1), 0);
  stand.call(blockWrite(1, DATA));
  assert(isDurable(stand, 1));
  stand.driver.transport.writeConfig(WRITEBACK, 1, 1);
  stand.call(blockWrite(2, DATA));
  assert(!isDurable(stand, 2));
});

block(
  "BLK-07 without CONFIG_WCE writing writeback has no effect",
  (stand) => {
    stand.driver.transport.writeConfig(WRITEBACK, 1, 0);
    stand.call(blockWrite(1, DATA));
    assert(!isDurable(stand, 1));
  },
  { without: VIRTIO_BLK_F_CONFIG_WCE },
);

block("BLK-07 values other than 0 and 1 are ignored", (stand) => {
  for (const value of [2, 0xff]) {
    stand.driver.transport.writeConfig(WRITEBACK, 1, value);
    assertEquals(stand.driver.transport.readConfig(WRITEBACK, 1), 1);
  }
});

block("BF-INIT-05 writeback written before DRIVER_OK counts", (stand) => {
  stand.driver.negotiate();
  stand.driver.transport.writeConfig(WRITEBACK, 1, 0);
  stand.driver.setUpQueue(0, stand.driver.place(8));
  stand.driver.start();
  stand.call(blockWrite(1, DATA));
  assert(isDurable(stand, 1));
});

block("BF-RESET-05 a reset takes write-through mode back", (stand) => {
  stand.driver.transport.writeConfig(WRITEBACK, 1, 0);
  stand.bringUp();
  assertEquals(stand.driver.transport.readConfig(WRITEBACK, 1), 1);
});

block("BLK-33 zeroing in write-through mode ends with a flush", (stand) => {
  stand.driver.transport.writeConfig(WRITEBACK, 1, 0);
  stand.call(blockCommand(WRITE_ZEROES, blockRange(1, 2)));
  assertEquals(stand.disk.log, ["zeroes 512+1024", "flush"]);
});

block("BLK-33 a write in write-through mode is durable after a short transfer too", (stand) => {
  stand.disk.maxTransfer = 100;
  stand.driver.transport.writeConfig(WRITEBACK, 1, 0);
  assertEquals(blockStatus(stand.call(blockWrite(1, DATA))), OK);
  assert(isDurable(stand, 1));
});

block(
  "BLK-40, VQ-SPLIT-19 requests come back in the order the disk has, not the ring's",
  (stand) => {
    stand.disk.holding = true;
    const slow = stand.post(blockRead(0, 512));
    const fast = stand.post(blockRead(1, 512));
    stand.disk.releaseLast();
    assertEquals(stand.collect(slow, fast), [undefined, OK]);
    stand.disk.release();
    assertEquals(stand.collect(slow, fast), [OK, undefined]);
  },
);

block("HD-76 a ring full of requests is in flight at once, and no more", (stand) => {
  stand.disk.holding = true;
  const pending = Array.from({ length: 64 }, (_, i) => stand.post(blockRead(i, 512), "indirect"));
  stand.loop.settle();
  assertEquals(stand.disk.inFlight, 64);
  stand.disk.release();
  assertEquals(stand.collect(...pending), pending.map(() => OK));
});

block(
  "HD-76, BLK-34 a flush storm among writes: every request comes back, and writes are durable",
  (stand) => {
    stand.disk.holding = true;
    const pending = Array.from({ length: 20 }, (_, i) => [
      stand.post(blockWrite(i, DATA), "indirect"),
      stand.post(blockCommand(FLUSH), "indirect"),
    ]).flat();
    stand.disk.holding = false;
    stand.disk.release();
    assertEquals(stand.collect(...pending), pending.map(() => OK));
    stand.call(blockCommand(FLUSH));
    assert(isDurable(stand, 19));
  },
);

block("BF-NOTIF-05 a batch of completions interrupts once", (stand) => {
  stand.bringUp({ features: VIRTIO_F_VERSION_1 });
  stand.disk.holding = true;
  for (let i = 0; i < 8; i++) stand.post(blockRead(i, 512));
  stand.loop.settle();
  stand.line.take();
  stand.disk.release();
  assertEquals(stand.line.take(), 1);
});

block("BF-RESET-03, HD-47 a reset waits for the disk, and no iovec is used after it", (stand) => {
  stand.disk.holding = true;
  for (let i = 0; i < 8; i++) stand.post(blockRead(i, 512));
  const posted = stand.driver.transport.writeStatus(0);
  stand.disk.release(7);
  assert(!posted.answered);
  stand.disk.release();
  stand.loop.settle();
  assert(posted.answered);
  assertEquals(stand.disk.inFlight, 0);
  stand.driver.forgetQueues();
});

block("BF-RESET-03 a multi-segment request is finished before a reset is", (stand) => {
  stand.disk.holding = true;
  const payload = Uint8Array.from([...blockRange(0, 1), ...blockRange(4, 1), ...blockRange(8, 1)]);
  stand.post(blockCommand(WRITE_ZEROES, payload));
  const posted = stand.driver.transport.writeStatus(0);
  stand.disk.release();
  stand.loop.settle();
  assert(posted.answered);
  assertEquals(stand.disk.log.length, 3);
  stand.driver.forgetQueues();
});

for (const length of [0, 1, 8, 15]) {
  block(`HD-69, BLK-44 a header of ${length} bytes is returned with length 0`, (stand) => {
    const request = { readable: blockHeader(0).slice(0, length), writable: 513 };
    assertEquals(stand.call(request).usedLength, 0);
  });
}

block("HD-69, BLK-44 a chain without room for a status is returned with length 0", (stand) => {
  const answer = stand.call({ readable: blockHeader(0), writable: 0 });
  assertEquals(answer.usedLength, 0);
  assertEquals(blockStatus(stand.call(blockRead(0, 512))), OK);
});

block("HD-29 a header changed while the disk works makes no difference", (stand) => {
  stand.disk.holding = true;
  const placed = stand.driver.prepare(blockRead(3, 512));
  stand.driver.submit(stand.queue, placed);
  stand.ram.write(placed.readableAt, blockHeader(1, 2n ** 40n)); // now an OUT far off the disk
  stand.disk.release();
  assertEquals(stand.queue.poll().map(({ length }) => length), [513]);
  assertEquals(stand.disk.log, ["read 1536+512"]);
});

block(
  "BLK-41 every queue leads to the same disk, and a flush on one covers writes of all",
  (stand) => {
    const { driver } = stand;
    for (let i = 0; i < 3; i++) driver.call(driver.queue(i), blockWrite(1 + i, DATA));
    assert(![1, 2, 3].some((sector) => isDurable(stand, sector)));
    driver.call(driver.queue(2), blockCommand(FLUSH));
    assert([1, 2, 3].every((sector) => isDurable(stand, sector)));
    const answer = driver.call(driver.queue(0), blockRead(3, 512));
    assertEquals(answer.response.slice(0, 512), DATA);
  },
  { queues: 3 },
);

block("HD-76 all queues full at once stay apart, and a reset waits for all of it", (stand) => {
  const { driver, disk } = stand;
  disk.holding = true;
  const each = 64 / 3 | 0; // three descriptors a read
  for (let i = 0; i < 3; i++) {
    const queue = driver.queue(i);
    for (let n = 0; n < each; n++) {
      driver.submit(queue, driver.prepare(blockRead(n, 512)));
      stand.loop.turn();
    }
  }
  assertEquals(disk.inFlight, 3 * each);
  const reset = driver.transport.writeStatus(0);
  stand.loop.settle();
  assert(!reset.answered);
  disk.release();
  stand.loop.settle();
  assertEquals([reset.answered, disk.inFlight], [true, 0]);
}, { queues: 3 });

block("BLK-41 a queue that stops leaves the others at work", (stand) => {
  const { driver } = stand;
  assert(driver.transport.disableQueue(0).answered);
  const answer = driver.call(driver.queue(1), blockRead(3, 512));
  assertEquals(blockStatus(answer), OK);
}, { queues: 2 });
