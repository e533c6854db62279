/** Device status (BF-STAT, and section 7 of hostile-driver.md). */
import { assertEquals } from "../../src/std/assert.ts";
import { RUNNING } from "../support/mock_driver.ts";
import type { TestStand } from "../support/test_stand.ts";
import type { Case } from "./case.ts";

const FEATURES_OK_STATE = 0x0b;

export const STATUS_CASES: readonly Case[] = [
  {
    id: "BF-STAT-01",
    outcome: "each step of the happy path reads back as written",
    run: ({ transport, driver }) => {
      for (const status of [0x01, 0x03]) {
        transport.writeStatus(status);
        assertEquals(transport.status(), status);
      }
      driver.writeFeatures(driver.offered());
      for (const status of [0x0b, 0x0f]) {
        transport.writeStatus(status);
        assertEquals(transport.status(), status);
      }
    },
  },
  {
    id: "BF-STAT-01",
    outcome: "the bit without a meaning (0x20) never sticks",
    run: ({ transport }) => {
      transport.writeStatus(0x23);
      assertEquals(transport.status() & 0x20, 0);
    },
  },
  {
    id: "BF-STAT-02",
    outcome: "status is 0 at power-on and after a reset",
    run: ({ transport, driver }) => {
      assertEquals(transport.status(), 0);
      driver.negotiate();
      driver.reset();
      assertEquals(transport.status(), 0);
    },
  },
  {
    id: "BF-STAT-03, BF-STAT-04",
    outcome: "before DRIVER_OK no buffer is consumed and no interrupt is sent",
    run: (stand) => {
      exposeBeforeDriverOk(stand);
      assertEquals(stand.queue.usedIdx, 0);
      assertEquals(stand.transport.interruptStatus(), 0);
      assertEquals(stand.line.edges, 0);
    },
  },
  {
    id: "BF-STAT-05, HD-58",
    outcome: "what was exposed before DRIVER_OK is served without another kick",
    run: (stand) => {
      exposeBeforeDriverOk(stand);
      stand.driver.start();
      assertEquals(stand.queue.poll().length, 1);
    },
  },
  {
    id: "BF-STAT-06, BF-STAT-07",
    outcome: "a corrupt ring sets NEEDS_RESET and sends a config-change interrupt",
    run: (stand) => {
      stand.bringUp();
      corrupt(stand);
      stand.assertBroken();
    },
  },
  {
    id: "BF-STAT-08, HD-46",
    outcome: "NEEDS_RESET is neither set nor cleared by status writes",
    run: (stand) => {
      stand.bringUp();
      stand.transport.writeStatus(RUNNING | 0x40);
      assertEquals(stand.transport.status(), RUNNING);
      corrupt(stand);
      stand.transport.writeStatus(RUNNING);
      assertEquals(stand.transport.status(), RUNNING | 0x40);
    },
  },
  {
    id: "BF-STAT-09, HD-51",
    outcome: "after NEEDS_RESET every queue stands still until a reset",
    run: (stand) => {
      stand.bringUp();
      corrupt(stand);
      for (const queue of stand.driver.queues.values()) {
        const usedIdx = queue.usedIdx;
        queue.publish(queue.add(stand.driver.prepare(stand.nextRequest()).segments));
        stand.kick(queue.index);
        assertEquals(queue.usedIdx, usedIdx, `used.idx of queue ${queue.index}`);
      }
      stand.transport.writeStatus(RUNNING);
      stand.loop.settle();
      assertEquals(stand.queue.usedIdx, 0);
    },
  },
  {
    id: "BF-STAT-10",
    outcome: "FAILED sticks, and nothing works before a reset",
    run: ({ transport }) => {
      transport.writeStatus(0x81);
      assertEquals(transport.status(), 0x81);
      transport.writeStatus(0x83);
      assertEquals(transport.status(), 0x81);
    },
  },
  {
    id: "BF-STAT-10, HD-51",
    outcome: "FAILED while running stops the queues",
    run: (stand) => {
      stand.bringUp();
      stand.transport.writeStatus(RUNNING | 0x80);
      assertEquals(stand.transport.status(), RUNNING | 0x80);
      stand.driver.submit(stand.queue, stand.driver.prepare(stand.nextRequest()));
      stand.kick();
      assertEquals(stand.queue.usedIdx, 0);
    },
  },
  {
    id: "BF-STAT-11, HD-46",
    outcome: "a write that would clear bits changes nothing, and traffic goes on",
    run: (stand) => {
      stand.bringUp();
      for (const value of [0x01, 0x03, 0x0b, 0x0e, 0x07]) {
        stand.transport.writeStatus(value);
        assertEquals(stand.transport.status(), RUNNING, `after writing ${value}`);
      }
      stand.roundTrip();
    },
  },
  {
    id: "BF-STAT-12",
    outcome: "ACKNOWLEDGE and DRIVER may come in one write",
    run: ({ transport }) => {
      transport.writeStatus(0x03);
      assertEquals(transport.status(), 0x03);
    },
  },
  {
    id: "HD-45",
    outcome: "steps out of order leave the device inert",
    run: ({ transport, driver }) => {
      const attempts = [
        { write: 0x02, reads: 0x00 },
        { write: 0x04, reads: 0x00 },
        { write: 0x08, reads: 0x00 },
        { write: 0x05, reads: 0x01 },
        { write: 0x0f, reads: 0x03 }, // no VERSION_1 accepted yet: FEATURES_OK is refused
        { write: 0x07, reads: 0x03 },
      ];
      for (const { write, reads } of attempts) {
        driver.reset();
        transport.writeStatus(write);
        assertEquals(transport.status(), reads, `after writing ${write} to a reset device`);
      }
    },
  },
  {
    id: "HD-46, MMIO-29",
    outcome: "only the low eight bits of a status write count",
    run: ({ transport }) => {
      transport.writeStatus(0xffff_ff03);
      assertEquals(transport.status(), 0x03);
      transport.writeStatus(0x100); // pinned: its low byte is 0, so it is a reset
      assertEquals(transport.status(), 0x00);
    },
  },
  {
    id: "HD-52, BF-SUSP-01",
    outcome: "SUSPEND has no effect while its feature is not offered",
    run: (stand) => {
      stand.bringUp();
      stand.transport.writeStatus(0x1f);
      assertEquals(stand.transport.status(), RUNNING);
      stand.roundTrip();
    },
  },
];

function exposeBeforeDriverOk({ driver, specimen, loop, transport }: TestStand): void {
  driver.negotiate();
  const queue = driver.setUpQueue(specimen.queue, driver.place(16));
  driver.submit(queue, driver.prepare(specimen.request(0)));
  transport.kick(specimen.queue);
  loop.settle();
  assertEquals(transport.status(), FEATURES_OK_STATE);
}

/** A head beyond the table: the simplest ring fault (HD-03). */
function corrupt(stand: TestStand): void {
  const { queue } = stand;
  queue.writeSlot(queue.availIdx, queue.size);
  queue.writeAvailIdx(queue.availIdx + 1);
  stand.kick();
}
