/** Rings that lie (sections 1 of hostile-driver.md). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { VIRTIO_F_VERSION_1, VRING_DESC_F_NEXT as NEXT } from "../../src/abi/virtio.ts";
import type { TestStand } from "../support/test_stand.ts";
import { type Case, needsAnswers, needsDepth } from "./case.ts";

export const HOSTILE_RING_CASES: readonly Case[] = [
  ...[1, 2, 0x4000, 0x8000].map((excess): Case => ({
    id: "HD-01",
    outcome: `avail.idx ${excess} further than the ring is long breaks the device`,
    run: (stand) => {
      stand.bringUp();
      stand.queue.writeAvailIdx(stand.queue.size + excess);
      stand.kick();
      stand.assertBroken();
      assertEquals(stand.queue.usedIdx, 0);
    },
  })),
  {
    id: "HD-01",
    outcome: "avail.idx going backwards breaks the device",
    run: (stand) => {
      stand.bringUp();
      stand.roundTrip();
      stand.queue.writeAvailIdx(0);
      stand.kick();
      stand.assertBroken();
    },
  },
  ...["size", 0xffff].map((head): Case => ({
    id: "HD-03",
    outcome: `head ${head === "size" ? "N" : head} breaks the device`,
    run: (stand) => {
      stand.bringUp();
      stand.queue.writeSlot(0, typeof head === "number" ? head : stand.queue.size);
      stand.queue.writeAvailIdx(1);
      stand.kick();
      stand.assertBroken();
      assertEquals(stand.queue.usedIdx, 0);
    },
  })),
  {
    id: "HD-03, INV-3",
    outcome: "a bad head right behind a good request breaks the device, and a reset still ends",
    run: (stand) => {
      stand.bringUp();
      const good = stand.queue.add(stand.driver.prepare(stand.nextRequest()).segments);
      stand.queue.publish(good, stand.queue.size);
      stand.kick();
      stand.assertBroken();
      assert(stand.transport.writeStatus(0).answered);
      stand.driver.forgetQueues();
    },
  },
  {
    id: "HD-51, BF-STAT-09",
    outcome: "requests in flight when the ring breaks end silently, and a reset still ends",
    notApplicable: needsDepth,
    run: (stand) => {
      stand.bringUp({ features: VIRTIO_F_VERSION_1 });
      stand.specimen.stall();
      stand.driver.submit(stand.queue, stand.driver.prepare(stand.nextRequest()));
      stand.queue.writeAvailIdx(0x8000);
      stand.kick();
      stand.assertBroken();
      const edges = stand.line.edges;
      const posted = stand.transport.writeStatus(0);
      stand.specimen.release();
      stand.loop.settle();
      assert(posted.answered);
      assertEquals([stand.queue.usedIdx, stand.line.edges], [0, edges]);
    },
  },
  {
    id: "HD-04, INV-6",
    outcome: "the same head twice is served twice at most",
    notApplicable: needsDepth,
    run: (stand) => {
      stand.bringUp();
      stand.specimen.stall();
      const head = stand.queue.add(stand.driver.prepare(stand.nextRequest()).segments);
      stand.queue.publish(head, head);
      stand.kick();
      stand.specimen.release();
      stand.loop.settle();
      assert(stand.queue.poll().length <= 2);
    },
  },
  {
    id: "HD-04",
    outcome: "more chains in flight than the ring is long break the device",
    notApplicable: needsDepth,
    run: (stand) => {
      stand.bringUp({ size: 4 });
      stand.specimen.stall();
      const head = stand.queue.add(stand.driver.prepare(stand.nextRequest()).segments);
      stand.queue.publish(head, head, head, head);
      stand.kick();
      stand.queue.publish(head);
      stand.kick();
      stand.assertBroken();
    },
  },
  {
    id: "HD-05",
    outcome: "a driver that refills as fast as the device drains does not hold the loop",
    notApplicable: needsAnswers,
    run: (stand) => {
      stand.bringUp({ features: VIRTIO_F_VERSION_1, size: 4 });
      const placed = stand.driver.prepare(stand.nextRequest());
      const head = stand.queue.add(placed.segments, "direct");
      let refills = 0;
      stand.line.onEdge = () => { // a driver on another CPU, as fast as can be
        if (refills++ < 1000) stand.queue.publish(head);
      };
      stand.queue.publish(head);
      stand.transport.kick(stand.specimen.queue);
      assert(refills <= 2 * stand.queue.size, `${refills} chains in one turn`);
      stand.loop.settle();
      stand.line.onEdge = () => {};
      assert(refills > 1000, "the rest is served in later turns");
    },
  },
  {
    id: "HD-06",
    outcome: "a head published before its descriptor is written is only data",
    run: (stand) => {
      stand.bringUp();
      stand.queue.publish(stand.queue.size - 1); // all zeroes: an empty chain
      stand.kick();
      assertEquals(stand.queue.poll().map(({ length }) => length), [0]);
      stand.roundTrip();
    },
  },
  {
    id: "HD-07",
    outcome: "used.idx, used elements and avail_event overwritten by the driver do not matter",
    run: (stand) => {
      stand.bringUp();
      stand.roundTrip();
      const { used, size } = stand.queue.placement;
      stand.ram.fill(used + 2, 4 + 8 * size, 0x77);
      const placed = stand.driver.prepare(stand.nextRequest());
      stand.queue.publish(stand.queue.add(placed.segments));
      stand.kick();
      assertEquals(stand.queue.usedIdx, 2);
      assertEquals(stand.queue.poll().length, 1);
    },
  },
  {
    id: "HD-11",
    outcome: "`next` beyond the table breaks the device",
    run: (stand) => {
      for (const next of [16, 0xffff]) {
        stand.faults.length = 0;
        stand.bringUp({ size: 16 });
        stand.queue.writeDescriptor(0, { at: 0x1000, length: 16, flags: NEXT, next });
        stand.queue.publish(0);
        stand.kick();
        stand.assertBroken();
      }
    },
  },
  {
    id: "HD-12",
    outcome: "a descriptor that is its own `next` breaks the device",
    run: (stand) => {
      stand.bringUp();
      loopOver(stand, 1);
    },
  },
  {
    id: "HD-12",
    outcome: "a loop over the whole table breaks the device",
    run: (stand) => {
      stand.bringUp();
      loopOver(stand, stand.queue.size);
    },
  },
  {
    id: "HD-51, HD-103, INV-4",
    outcome: "a broken device reports once, however long the driver goes on",
    run: (stand) => {
      stand.bringUp();
      stand.queue.writeAvailIdx(0x8000);
      for (let i = 0; i < 1000; i++) stand.kick();
      stand.assertBroken();
    },
  },
];

function loopOver(stand: TestStand, length: number): void {
  for (let i = 0; i < length; i++) {
    stand.queue.writeDescriptor(i, {
      at: 0x1000,
      length: 1,
      flags: NEXT,
      next: (i + 1) % length,
    });
  }
  stand.queue.publish(0);
  stand.kick();
  stand.assertBroken();
  assertEquals(stand.queue.usedIdx, 0);
}
