/** Queue set-up (BF-INIT, MMIO-10 to 22, HD-38 to HD-44). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import type { QueueArea } from "../support/driver_transport.ts";
import { DriverQueue, type Placement } from "../support/driver_queue.ts";
import { RUNNING } from "../support/mock_driver.ts";
import type { TestStand } from "../support/test_stand.ts";
import { type Case, needsDepth } from "./case.ts";

const AREAS: readonly QueueArea[] = ["desc", "avail", "used"];
const NO_SUCH_QUEUES = [0xffff, 0x1_0000, 0xffff_ffff];

export const QUEUE_SETUP_CASES: readonly Case[] = [
  {
    id: "BF-INIT-02, MMIO-16",
    outcome: "a queue set up between FEATURES_OK and DRIVER_OK reads ready",
    run: ({ driver, transport, specimen }) => {
      driver.negotiate();
      assert(!transport.queueReady(specimen.queue));
      driver.setUpQueue(specimen.queue, driver.place(8));
      assert(transport.queueReady(specimen.queue));
    },
  },
  {
    id: "BF-INIT-03",
    outcome: "a queue made ready after DRIVER_OK works, and its waiting buffers are served",
    run: (stand) => {
      stand.driver.negotiate();
      stand.driver.start();
      const queue = stand.driver.setUpQueue(stand.specimen.queue, stand.driver.place(8));
      const request = stand.nextRequest();
      request.check(stand.driver.call(queue, request));
    },
  },
  {
    id: "BF-INIT-04, HD-44",
    outcome: "with only the request queue ready the device works",
    run: (stand) => {
      stand.bringUp({ queues: [stand.specimen.queue] });
      stand.roundTrip();
    },
  },
  {
    id: "HD-44",
    outcome: "with no queue ready at all the device is up, and kicks do nothing",
    run: (stand) => {
      stand.bringUp({ queues: [] });
      stand.line.take(); // a device may announce its configuration
      for (const index of stand.driver.existingQueues()) stand.kick(index);
      assertEquals(stand.transport.status(), RUNNING);
      assertEquals(stand.line.edges, 0);
    },
  },
  {
    id: "MMIO-11, MMIO-12, HD-43",
    outcome: "existing queues have a power of two as maximum, all others 0",
    run: ({ driver, transport, specimen }) => {
      const queues = driver.existingQueues();
      assertEquals(queues.length, specimen.device.queueSizes.length);
      for (const queue of queues) {
        assert(Number.isInteger(Math.log2(transport.queueMaxSize(queue))));
      }
      for (const queue of [queues.length, ...NO_SUCH_QUEUES]) {
        assertEquals(transport.queueMaxSize(queue), 0, `queue ${queue}`);
      }
    },
  },
  {
    id: "HD-43",
    outcome: "registers of a queue that does not exist swallow everything",
    run: (stand) => {
      const { driver, transport } = stand;
      driver.negotiate();
      for (const queue of [driver.existingQueues().length, ...NO_SUCH_QUEUES]) {
        driver.program(queue, { size: 8, desc: 0x1000, avail: 0x2000, used: 0x3000 });
        transport.enableQueue(queue);
        assert(!transport.queueReady(queue), `queue ${queue}`);
        assert(transport.disableQueue(queue).answered);
      }
      stand.bringUp();
      stand.roundTrip();
    },
  },
  {
    id: "HD-58, MMIO-22",
    outcome: "kicks of queues that do not exist do nothing",
    run: (stand) => {
      stand.bringUp();
      for (const queue of [stand.driver.existingQueues().length, ...NO_SUCH_QUEUES]) {
        stand.kick(queue);
      }
      assertEquals(stand.transport.status(), RUNNING);
      stand.roundTrip();
    },
  },
  {
    id: "MMIO-13, VQ-SPLIT-02",
    outcome: "every power of two up to the maximum works as a size",
    run: (stand) => {
      const max = stand.transport.queueMaxSize(stand.specimen.queue);
      for (let size = max; size >= 1; size /= 2) {
        // A ring of one cannot hold a request of two descriptors: it goes by an indirect table.
        stand.bringUp({ size, queues: [stand.specimen.queue] });
        const request = stand.nextRequest();
        request.check(stand.driver.call(stand.queue, request, { layout: "indirect" }));
        request.check(stand.driver.call(stand.queue, request, { layout: "indirect" }));
      }
    },
  },
  {
    id: "MMIO-15",
    outcome: "a driver that never writes the size gets the maximum",
    run: (stand) => {
      const { driver, transport, specimen } = stand;
      driver.negotiate();
      const placement = driver.place(transport.queueMaxSize(specimen.queue));
      for (const area of AREAS) {
        transport.writeQueueAddress(specimen.queue, area, BigInt(placement[area]));
      }
      transport.enableQueue(specimen.queue);
      driver.queues.set(specimen.queue, new DriverQueue(stand.ram, specimen.queue, placement));
      driver.start();
      stand.roundTrip();
    },
  },
  {
    id: "HD-38, MMIO-14",
    outcome: "sizes that are 0, too large, truncated or no power of two are ignored",
    run: (stand) => {
      const { driver, transport, specimen } = stand;
      const max = transport.queueMaxSize(specimen.queue);
      for (const size of [0, 3, max + 1, max * 2, 0x1_0008, 0x8000_0000, 0xffff_ffff]) {
        driver.negotiate();
        const queue = new DriverQueue(stand.ram, specimen.queue, driver.place(8));
        driver.program(specimen.queue, queue.placement);
        transport.writeQueueSize(specimen.queue, size); // the 8 from before still counts
        transport.enableQueue(specimen.queue);
        driver.queues.set(specimen.queue, queue);
        driver.start();
        stand.roundTrip();
      }
    },
  },
  {
    id: "HD-39, VQ-SPLIT-04",
    outcome: "ring parts that are misaligned or not whole in RAM are refused when enabled",
    run: (stand) => {
      for (const { area, address } of badAddresses(stand)) {
        const { driver, transport, specimen } = stand;
        driver.negotiate();
        driver.program(specimen.queue, driver.place(8));
        transport.writeQueueAddress(specimen.queue, area, address);
        transport.enableQueue(specimen.queue);
        assert(!transport.queueReady(specimen.queue), `${area} at ${address.toString(16)}`);
        assert(stand.isBroken);
        stand.kick();
        assertEquals(stand.line.edges, 0, "no notification before DRIVER_OK");
      }
    },
  },
  {
    id: "HD-39",
    outcome: "a descriptor table at address 0 is fine",
    run: (stand) => {
      const { driver, specimen } = stand;
      driver.negotiate();
      driver.setUpQueue(specimen.queue, { ...driver.place(8), desc: 0 });
      driver.start();
      stand.roundTrip();
    },
  },
  {
    id: "HD-40, MMIO-19",
    outcome: "size and addresses of a ready queue cannot be changed",
    run: (stand) => {
      stand.bringUp();
      stand.roundTrip();
      stand.driver.program(stand.specimen.queue, {
        size: 4,
        desc: 0x10,
        avail: 0x20,
        used: 0x30,
      });
      stand.roundTrip();
    },
  },
  {
    id: "MMIO-17",
    outcome: "while a queue is not ready its rings are left alone",
    run: (stand) => {
      const { driver, transport, specimen } = stand;
      driver.negotiate();
      const queue = new DriverQueue(stand.ram, specimen.queue, driver.place(8));
      driver.program(specimen.queue, queue.placement);
      driver.start();
      queue.publish(queue.add(driver.prepare(stand.nextRequest()).segments));
      stand.kick();
      assert(!transport.queueReady(specimen.queue));
      assertEquals(queue.usedIdx, 0);
      queue.retire();
    },
  },
  {
    id: "MMIO-16, MMIO-18, HD-42",
    outcome: "a queue that was stopped is left alone, and can be started again",
    run: (stand) => {
      const { driver, transport, specimen } = stand;
      stand.bringUp();
      stand.roundTrip();
      transport.disableQueue(specimen.queue);
      stand.loop.settle();
      assert(!transport.queueReady(specimen.queue));
      stand.queue.publish(stand.queue.add(driver.prepare(stand.nextRequest()).segments));
      stand.kick();
      assertEquals(stand.queue.usedIdx, 1);
      driver.setUpQueue(specimen.queue, driver.place(4));
      stand.roundTrip();
    },
  },
  {
    id: "MMIO-18",
    outcome: "stopping a queue waits for its requests in flight",
    notApplicable: needsDepth,
    run: (stand) => {
      stand.bringUp();
      stand.specimen.stall();
      stand.driver.submit(stand.queue, stand.driver.prepare(stand.nextRequest()));
      const posted = stand.transport.disableQueue(stand.specimen.queue);
      assert(!posted.answered);
      stand.specimen.release();
      stand.loop.settle();
      assert(posted.answered);
      assert(!stand.transport.queueReady(stand.specimen.queue));
      assertEquals(stand.queue.poll().length, 1);
      stand.queue.retire();
    },
  },
  {
    id: "MMIO-20",
    outcome: "address halves may come in any order and again",
    run: (stand) => {
      const { driver, transport, specimen } = stand;
      driver.negotiate();
      const placement = driver.place(8, "high");
      transport.writeQueueAddress(specimen.queue, "desc", 0xffff_ffff_ffff_fff0n);
      driver.setUpQueue(specimen.queue, placement);
      driver.start();
      stand.roundTrip();
    },
  },
];

function badAddresses({ ram, driver }: TestStand): { area: QueueArea; address: bigint }[] {
  const size = 8;
  const bytes: Record<QueueArea, number> = {
    desc: 16 * size,
    avail: 6 + 2 * size,
    used: 6 + 8 * size,
  };
  const good: Placement = driver.place(size);
  return AREAS.flatMap((area) =>
    [
      BigInt(good[area]) + 1n, // every part asks for 2 at least
      BigInt(ram.lowEnd), // in the hole
      BigInt(ram.highEnd),
      // Aligned, and the last bytes outside.
      BigInt(Math.floor((ram.lowEnd - bytes[area] + 16) / 16) * 16),
      BigInt(Math.floor((ram.highEnd - bytes[area] + 16) / 16) * 16),
      0x20_0000_0000_0000n, // where doubles stop being exact
      0xffff_ffff_ffff_fff0n, // wraps
      0xffff_0000_0000_1000n,
    ].map((address) => ({ area, address }))
  );
}
