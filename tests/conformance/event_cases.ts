/** Notification suppression, both ways (VQ-EVT, BF-NOTIF-04, HD-09, HD-59). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../src/abi/virtio.ts";
import type { TestStand } from "../support/test_stand.ts";
import type { Case } from "./case.ts";

const FLOOD = 100_000;

export const EVENT_CASES: readonly Case[] = [
  {
    id: "VQ-EVT-01, VQ-EVT-02",
    outcome: "without EVENT_IDX every request interrupts, whatever used_event says",
    run: (stand) => {
      bringUpWithFlags(stand);
      for (const usedEvent of [0, 7, 0xffff]) {
        stand.queue.setUsedEvent(usedEvent);
        assertEquals(edgesOfOneRequest(stand), 1, `used_event ${usedEvent}`);
      }
    },
  },
  {
    id: "VQ-EVT-03",
    outcome: "without EVENT_IDX the driver's NO_INTERRUPT is heeded",
    run: (stand) => {
      bringUpWithFlags(stand);
      stand.queue.setAvailFlags(1);
      assertEquals(edgesOfOneRequest(stand), 0);
      assertEquals(stand.transport.interruptStatus(), 0);
    },
  },
  {
    id: "HD-09",
    outcome: "unknown bits in the driver's flags mean nothing",
    run: (stand) => {
      bringUpWithFlags(stand);
      stand.queue.setAvailFlags(0xfffe);
      assertEquals(edgesOfOneRequest(stand), 1);
    },
  },
  {
    id: "VQ-EVT-04, VQ-EVT-05",
    outcome: "without EVENT_IDX used.flags is 0 or 1, and 0 once the ring is empty",
    run: (stand) => {
      bringUpWithFlags(stand);
      for (let i = 0; i < 10; i++) {
        stand.roundTrip();
        assertEquals(stand.queue.usedFlags, 0);
      }
    },
  },
  {
    id: "VQ-EVT-06",
    outcome: "with EVENT_IDX the driver's NO_INTERRUPT is ignored",
    run: (stand) => {
      stand.bringUp();
      stand.warmUp();
      stand.queue.setAvailFlags(1);
      stand.queue.setUsedEvent(1);
      assertEquals(edgesOfOneRequest(stand), 1);
    },
  },
  {
    id: "VQ-EVT-07, VQ-EVT-08, VQ-EVT-12",
    outcome: "with EVENT_IDX exactly the entry the driver asked for interrupts",
    run: (stand) => {
      for (const size of [2, 4, 16]) {
        stand.bringUp({ size });
        stand.warmUp(); // entry 0
        stand.queue.setUsedEvent(4);
        const edges = Array.from({ length: 6 }, () => edgesOfOneRequest(stand));
        assertEquals(edges, [0, 0, 0, 1, 0, 0], `ring of ${size}`);
      }
    },
  },
  {
    id: "VQ-EVT-08",
    outcome: "with EVENT_IDX and a mark far ahead nothing interrupts",
    run: (stand) => {
      stand.bringUp();
      stand.warmUp();
      stand.queue.setUsedEvent(0x8000);
      assertEquals(edgesOfOneRequest(stand), 0);
    },
  },
  {
    id: "VQ-EVT-09",
    outcome: "with EVENT_IDX used.flags stays 0",
    run: (stand) => {
      stand.bringUp();
      stand.specimen.stall();
      stand.driver.submit(stand.queue, stand.driver.prepare(stand.nextRequest()));
      assertEquals(stand.queue.usedFlags, 0);
      stand.specimen.release();
      stand.loop.settle();
      assertEquals(stand.queue.usedFlags, 0);
    },
  },
  {
    id: "VQ-EVT-10, VQ-EVT-11",
    outcome: "a driver that kicks only when asked to never waits",
    run: (stand) => {
      for (const features of [stand.driver.offered(), withoutEventIdx(stand)]) {
        stand.bringUp({ features, size: 4 });
        for (let i = 0; i < 300; i++) stand.roundTrip();
      }
    },
  },
  {
    id: "BF-NOTIF-04, HD-59",
    outcome: `${FLOOD} kicks of empty queues have no effect`,
    run: (stand) => {
      stand.bringUp();
      stand.warmUp();
      for (const queue of stand.driver.existingQueues()) {
        for (let i = 0; i < FLOOD / stand.driver.queues.size; i++) stand.transport.kick(queue);
      }
      assert(stand.loop.deferredTasks <= stand.driver.queues.size);
      stand.loop.settle();
      assertEquals(stand.line.edges, 0);
      stand.roundTrip();
    },
  },
];

function withoutEventIdx({ driver }: TestStand): bigint {
  return driver.offered() & ~VIRTIO_RING_F_EVENT_IDX;
}

function bringUpWithFlags(stand: TestStand): void {
  stand.bringUp({ features: withoutEventIdx(stand) });
  stand.warmUp();
}

function edgesOfOneRequest(stand: TestStand): number {
  stand.line.take();
  stand.roundTrip();
  return stand.line.take();
}
