/** The configuration space of a block device (BLK-01 to BLK-07, BLK-23, BLK-39). */
import { VIRTIO_BLK_F_MQ } from "../../devices/block/abi.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { BlockStand, type BlockStandSetup } from "../support/block_stand.ts";
import { MMIO } from "../support/mmio_driver.ts";

const AT = {
  capacityLow: 0x00,
  capacityHigh: 0x04,
  sizeMax: 0x08,
  segMax: 0x0c,
  geometry: 0x10,
  blkSize: 0x14,
  physicalBlockExp: 0x18,
  unused0: 0x21,
  numQueues: 0x22,
  maxDiscardSectors: 0x24,
  maxDiscardSeg: 0x28,
  discardAlignment: 0x2c,
  maxZeroesSectors: 0x30,
  maxZeroesSeg: 0x34,
  zeroesMayUnmap: 0x38,
  unused1: 0x39,
} as const;

function block(name: string, run: (stand: BlockStand) => void, setup: BlockStandSetup = {}): void {
  Deno.test(`block over mmio: ${name}`, () => run(new BlockStand(MMIO, setup)));
}

function read({ driver }: BlockStand, offset: number, size: 1 | 2 | 4 = 4): number {
  return driver.transport.readConfig(offset, size);
}

block("BLK-01 there is one queue", ({ driver }) => {
  assertEquals(driver.existingQueues(), [0]);
});

block("BLK-01, BLK-03 with MQ there are as many as num_queues says", (stand) => {
  assertEquals(stand.driver.existingQueues(), [0, 1, 2]);
  assertEquals(stand.driver.offered() & VIRTIO_BLK_F_MQ, VIRTIO_BLK_F_MQ);
  assertEquals(read(stand, AT.numQueues, 2), 3);
}, { queues: 3 });

block("BLK-02 capacity is in 512-byte sectors, whatever the block size", (stand) => {
  assertEquals([read(stand, AT.capacityLow), read(stand, AT.capacityHigh)], [64, 0]);
}, { logicalBlockBytes: 4096 });

block("BLK-03, BF-CFG-08 fields of features that are not offered read 0", (stand) => {
  assertEquals(read(stand, AT.sizeMax), 0);
  assertEquals(read(stand, AT.geometry), 0);
  assertEquals(read(stand, AT.numQueues, 2), 0);
});

block("BLK-03, BF-CFG-08 a disk that can neither discard nor zero shows no limits", (stand) => {
  for (let offset: number = AT.maxDiscardSectors; offset < 60; offset++) {
    assertEquals(read(stand, offset, 1), 0, `offset ${offset}`);
  }
}, { canDiscard: false, canWriteZeroes: false });

block("BLK-03 seg_max fits a queue of direct descriptors", (stand) => {
  const segMax = read(stand, AT.segMax);
  assertEquals(segMax, stand.driver.transport.queueMaxSize(0) - 2);
});

block("BLK-06 padding is 0", (stand) => {
  assertEquals(read(stand, AT.unused0, 1), 0);
  assertEquals([0, 1, 2].map((i) => read(stand, AT.unused1 + i, 1)), [0, 0, 0]);
});

block("BLK-39 block sizes of the host are passed on", (stand) => {
  assertEquals(read(stand, AT.blkSize), 512);
  assertEquals(read(stand, AT.physicalBlockExp, 1), 3); // 4096 = 512 << 3
});

block("BLK-39 a disk of 4096-byte blocks says so", (stand) => {
  assertEquals(read(stand, AT.blkSize), 4096);
  assertEquals(read(stand, AT.physicalBlockExp, 1), 0);
  assertEquals(read(stand, AT.discardAlignment), 8);
}, { logicalBlockBytes: 4096 });

block("BLK-23 write_zeroes_may_unmap follows what the disk can do", (stand) => {
  assertEquals(read(stand, AT.zeroesMayUnmap, 1), 1);
  const without = new BlockStand(MMIO, { canDiscard: false });
  assertEquals(read(without, AT.zeroesMayUnmap, 1), 0);
});

block("BLK-45 legacy bits are not offered", ({ driver }) => {
  assertEquals(driver.offered() & ((1n << 0n) | (1n << 7n)), 0n);
});
