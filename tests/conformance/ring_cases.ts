/** Split rings in ordinary use (VQ-SPLIT). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { VIRTIO_F_VERSION_1 } from "../../src/abi/virtio.ts";
import type { Answer } from "../support/mock_driver.ts";
import { type Cut, everyBytes, splitAt, splitBeforeLast, UNCUT } from "../support/segments.ts";
import type { Request, TestStand } from "../support/test_stand.ts";
import { type Case, needsAnswers, needsDepth } from "./case.ts";

/** More than a free-running 16-bit index can count. */
const MANY = 70_000;
const CUTS: readonly Cut[] = [
  UNCUT,
  everyBytes(1),
  everyBytes(3),
  everyBytes(17),
  splitAt(1),
  splitAt(7),
  splitAt(15),
  splitBeforeLast(1),
  splitBeforeLast(2),
];

export const RING_CASES: readonly Case[] = [
  {
    id: "BF-INIT-01",
    outcome: "the happy path works with every queue set up",
    run: (stand) => {
      stand.bringUp();
      stand.roundTrip();
    },
  },
  {
    id: "VQ-SPLIT-01, VQ-SPLIT-03",
    outcome: "rings may lie above 4 GiB, and buffers below or above",
    run: (stand) => {
      stand.bringUp({ where: "high" });
      for (const where of ["low", "high"] as const) {
        const request = stand.nextRequest();
        request.check(stand.driver.call(stand.queue, request, { where }));
      }
    },
  },
  {
    id: "VQ-SPLIT-03",
    outcome: "the three parts may lie in different regions and in reverse order",
    run: (stand) => {
      const { driver, specimen, ram } = stand;
      driver.negotiate();
      const used = ram.allocate(6 + 8 * 8, 4, "low");
      const avail = ram.allocate(6 + 2 * 8, 2, "high");
      driver.setUpQueue(specimen.queue, { size: 8, desc: ram.allocate(16 * 8, 16), avail, used });
      driver.start();
      stand.roundTrip();
    },
  },
  ...CUTS.map((cut): Case => ({
    id: "VQ-SPLIT-05",
    outcome: `a request in direct descriptors, ${cut.name}, is served like any other`,
    run: (stand) => {
      stand.bringUp({ size: 1024 });
      const request = stand.nextRequest();
      const placed = stand.driver.prepare(request, { cut });
      // Where a cut needs more descriptors than the ring has, the rest goes into a table.
      const direct = Math.min(placed.segments.length, stand.queue.size - 1);
      const used = stand.driver.callAgain(stand.queue, placed, { direct });
      request.check(used);
    },
  })),
  {
    id: "VQ-SPLIT-12, VQ-EVT-13",
    outcome:
      `${MANY} requests on a ring of four never stall, and one mark at 0xffff interrupts once`,
    run: (stand) => {
      stand.bringUp({ size: 4, queues: [stand.specimen.queue] });
      stand.warmUp();
      const request = stand.nextRequest();
      const placed = stand.driver.prepare(request);
      stand.queue.setUsedEvent(0xffff);
      for (let i = 1; i < MANY; i++) {
        stand.driver.submit(stand.queue, placed);
        if (stand.queue.poll().length !== 1) stand.loop.settle();
      }
      assertEquals(stand.queue.outstanding, 0);
      assertEquals(stand.queue.usedIdx, MANY & 0xffff);
      assertEquals(stand.line.edges, 1);
      request.check(stand.driver.callAgain(stand.queue, placed));
    },
  },
  {
    id: "VQ-SPLIT-13",
    outcome: "a ring full of requests is served after one kick",
    run: (stand) => {
      stand.bringUp({ size: 8 });
      const batch = publishBatch(stand, stand.queue.size);
      stand.kick();
      checkBatch(stand, batch);
    },
  },
  {
    id: "VQ-SPLIT-13, VQ-SPLIT-14",
    outcome: "a ring full of requests that wait for the backend comes back once each",
    notApplicable: needsDepth,
    run: (stand) => {
      stand.bringUp({ size: 8 });
      stand.specimen.stall();
      const batch = publishBatch(stand, stand.queue.size);
      stand.kick();
      assertEquals(stand.queue.usedIdx, 0);
      stand.specimen.release();
      stand.loop.settle();
      checkBatch(stand, batch);
    },
  },
  {
    id: "VQ-SPLIT-07, VQ-SPLIT-09",
    outcome: "descriptor tables, available rings and readable buffers are never written",
    run: (stand) => {
      stand.bringUp({ size: 4 });
      for (let i = 0; i < 100; i++) stand.roundTrip();
      assertEquals(stand.ram.firstForeignChange(), undefined);
    },
  },
  {
    id: "VQ-SPLIT-16",
    outcome: "at least used.len bytes of the writable part are written",
    notApplicable: needsAnswers,
    run: (stand) => {
      stand.bringUp();
      const request = stand.nextRequest();
      const placed = stand.driver.prepare(request);
      stand.ram.fill(placed.writableAt, placed.writable, 0x5a);
      const first = stand.driver.callAgain(stand.queue, placed);
      stand.ram.fill(placed.writableAt, placed.writable, 0xc3);
      const second = stand.driver.callAgain(stand.queue, placed);
      assertEquals(written(first), written(second));
    },
  },
  {
    id: "VQ-SPLIT-08",
    outcome: "what writable buffers held before makes no difference",
    notApplicable: needsAnswers,
    run: (stand) => {
      stand.bringUp();
      const request = stand.nextRequest();
      const placed = stand.driver.prepare(request);
      for (const value of [0x00, 0xff]) {
        stand.ram.fill(placed.writableAt, placed.writable, value);
        request.check(stand.driver.callAgain(stand.queue, placed));
      }
    },
  },
  {
    id: "VQ-SPLIT-20",
    outcome: "a buffer published without a kick is served by the next kick at the latest",
    run: (stand) => {
      stand.bringUp();
      const batch = publishBatch(stand, 1);
      stand.loop.settle();
      stand.kick();
      checkBatch(stand, batch);
    },
  },
  {
    id: "VQ-SPLIT-12, BF-FEAT-11",
    outcome: "a hundred rounds without EVENT_IDX and INDIRECT_DESC wake up every time",
    run: (stand) => {
      stand.bringUp({ features: VIRTIO_F_VERSION_1, size: 4 });
      for (let i = 0; i < 100; i++) stand.roundTrip();
    },
  },
];

interface Sent {
  readonly request: Request;
  readonly head: number;
  readonly answer: (usedLength: number) => Answer;
}

/** Publishes `count` requests, each in one descriptor of the ring, with one move of the index. */
function publishBatch(stand: TestStand, count: number): Sent[] {
  const batch = Array.from({ length: count }, (): Sent => {
    const request = stand.nextRequest();
    const placed = stand.driver.prepare(request);
    const head = stand.queue.add(placed.segments, "indirect");
    return { request, head, answer: (length) => stand.driver.answer(placed, length) };
  });
  stand.queue.publish(...batch.map(({ head }) => head));
  return batch;
}

function checkBatch(stand: TestStand, batch: readonly Sent[]): void {
  const used = stand.queue.poll();
  assertEquals(used.length, batch.length);
  if (!stand.row.answers) return; // nothing in memory; the count is all there is to see
  for (const { request, head, answer } of batch) {
    const element = used.find((other) => other.head === head);
    assert(element !== undefined, `head ${head} is missing`);
    request.check(answer(element.length));
  }
}

function written({ response, usedLength }: Answer): Uint8Array {
  return response.slice(0, usedLength);
}
