/** Device reset (BF-RESET, BF-INIT-06, HD-47). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { VIRTIO_F_VERSION_1 } from "../../src/abi/virtio.ts";
import { pattern } from "../support/guest_ram.ts";
import type { TestStand } from "../support/test_stand.ts";
import { type Case, needsAnswers, needsDepth, needsStall } from "./case.ts";

const IN_FLIGHT = 8;
/** What a vCPU may at most be held for (BF-RESET-09). */
const PATIENCE_MS = 1000;
const STATES = [0x00, 0x01, 0x03, 0x0b, 0x0f, 0x80, 0x81, 0x83, 0x8b, 0x8f];

export const RESET_CASES: readonly Case[] = [
  {
    id: "BF-RESET-01, BF-RESET-07",
    outcome: "writing 0 gives status 0 from every state, any number of times",
    run: ({ transport, driver }) => {
      for (const state of STATES) {
        driver.reset();
        transport.writeStatus(state & 0x03);
        driver.writeFeatures(driver.offered());
        transport.writeStatus(state & 0x0f);
        transport.writeStatus(state);
        for (let i = 0; i < 10; i++) transport.writeStatus(0);
        assertEquals(transport.status(), 0, `from ${state}`);
      }
    },
  },
  {
    id: "BF-RESET-02, BF-RESET-03, HD-47",
    outcome: "after a reset with requests in flight nothing is written and nothing interrupts",
    notApplicable: needsStall,
    run: (stand) => {
      stallWithRequests(stand);
      const posted = stand.transport.writeStatus(0);
      stand.specimen.release();
      stand.loop.settle();
      assert(posted.answered);
      assertEquals(stand.transport.status(), 0);
      stand.driver.forgetQueues();
      stand.line.take();
      stand.specimen.release();
      stand.loop.advance(10 * PATIENCE_MS);
      assertEquals(stand.ram.firstForeignChange(), undefined);
      assertEquals(stand.line.edges, 0);
    },
  },
  {
    id: "BF-RESET-03",
    outcome: "a reset waits for requests in flight: status stays non-zero until they are done",
    notApplicable: needsDepth,
    run: (stand) => {
      stallWithRequests(stand);
      const posted = stand.transport.writeStatus(0);
      assert(!posted.answered);
      assert(stand.transport.status() !== 0);
      stand.specimen.release();
      stand.loop.settle();
      assert(posted.answered);
      assertEquals(stand.transport.status(), 0);
    },
  },
  {
    id: "BF-RESET-09",
    outcome: "a reset that takes long lets the vCPU go, and status shows when it is done",
    notApplicable: needsDepth,
    run: (stand) => {
      stallWithRequests(stand);
      const posted = stand.transport.writeStatus(0);
      stand.loop.advance(PATIENCE_MS);
      assert(posted.answered);
      assert(stand.transport.status() !== 0);
      stand.specimen.release();
      stand.loop.settle();
      assertEquals(stand.transport.status(), 0);
    },
  },
  {
    id: "BF-RESET-09, HD-47",
    outcome: "while a slow reset goes on, kicks and status writes have no effect",
    notApplicable: needsDepth,
    run: (stand) => {
      stallWithRequests(stand);
      stand.transport.writeStatus(0);
      stand.loop.advance(PATIENCE_MS);
      const before = stand.transport.status();
      stand.transport.writeStatus(0x01);
      stand.kick();
      assertEquals(stand.transport.status(), before);
      stand.specimen.release();
      stand.loop.settle();
      assertEquals(stand.transport.status(), 0);
    },
  },
  {
    id: "BF-RESET-04, MMIO-30, MMIO-31",
    outcome: "a reset unreadies every queue, and rings start at index 0 again",
    run: (stand) => {
      stand.bringUp();
      stand.roundTrip();
      stand.roundTrip();
      stand.driver.reset();
      for (const index of stand.driver.existingQueues()) {
        assert(!stand.transport.queueReady(index), `queue ${index}`);
      }
      stand.bringUp();
      stand.roundTrip();
      assertEquals(stand.queue.usedIdx, 1);
    },
  },
  {
    id: "BF-RESET-06, MMIO-30",
    outcome: "a reset clears pending interrupts",
    run: (stand) => {
      stand.bringUp();
      stand.roundTrip();
      assertEquals(stand.transport.interruptStatus() & 1, 1);
      stand.driver.reset();
      assertEquals(stand.transport.interruptStatus(), 0);
    },
  },
  {
    id: "BF-RESET-07",
    outcome: "a reset brings a broken device back",
    run: (stand) => {
      stand.bringUp();
      stand.queue.writeAvailIdx(0x8000);
      stand.kick();
      assert(stand.isBroken);
      stand.bringUp();
      stand.roundTrip();
    },
  },
  {
    id: "BF-RESET-08",
    outcome: "the config generation does not go back with a reset",
    run: (stand) => {
      stand.bringUp();
      stand.specimen.changeConfig();
      const before = stand.transport.configGeneration();
      stand.driver.reset();
      assert(stand.transport.configGeneration() >= before);
    },
  },
  {
    id: "HD-47",
    outcome: "a hundred resets under load, each with new addresses, leave old rings alone",
    notApplicable: needsAnswers,
    run: (stand) => {
      for (let round = 0; round < 100; round++) {
        stand.driver.bringUp({ size: 8, where: round % 2 === 0 ? "low" : "high" });
        stand.specimen.stall();
        stand.driver.submit(stand.queue, stand.driver.prepare(stand.nextRequest()));
        stand.transport.writeStatus(0);
        stand.specimen.release();
        stand.loop.settle();
        stand.driver.forgetQueues();
      }
      assertEquals(stand.ram.firstForeignChange(), undefined);
    },
  },
  {
    id: "BF-RESET-02",
    outcome: "a reset device ignores rings that look full of requests",
    run: (stand) => {
      stand.bringUp();
      const { placement } = stand.queue;
      stand.driver.reset();
      stand.line.take();
      stand.ram.write(placement.avail, pattern(6 + 2 * placement.size, 1));
      for (const queue of stand.driver.existingQueues()) stand.kick(queue);
      assertEquals(stand.transport.status(), 0);
      assertEquals(stand.line.take(), 0);
    },
  },
];

function stallWithRequests(stand: TestStand): void {
  stand.bringUp({ features: VIRTIO_F_VERSION_1 });
  stand.specimen.stall();
  for (let i = 0; i < IN_FLIGHT; i++) {
    stand.driver.submit(stand.queue, stand.driver.prepare(stand.nextRequest()));
  }
  stand.kick();
  assertEquals(stand.queue.usedIdx, 0, "nothing should complete while the backend is stalled");
}
