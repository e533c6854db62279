/** Indirect descriptors (VQ-IND, HD-17 to HD-22). */
import { assertEquals } from "../../src/std/assert.ts";
import {
  VIRTIO_RING_F_INDIRECT_DESC,
  VRING_DESC_F_INDIRECT as INDIRECT,
  VRING_DESC_F_NEXT as NEXT,
  VRING_DESC_F_WRITE as WRITE,
} from "../../src/abi/virtio.ts";
import { DESC_BYTES, type RawDescriptor } from "../support/driver_queue.ts";
import { everyBytes, type Segment, UNCUT } from "../support/segments.ts";
import type { Request, TestStand } from "../support/test_stand.ts";
import type { Case } from "./case.ts";

const MAX_ENTRIES = 1024;

export const INDIRECT_CASES: readonly Case[] = [
  {
    id: "VQ-IND-04, VQ-IND-07",
    outcome: "a whole request in one table is served, under the head's index",
    run: (stand) => {
      stand.bringUp();
      const request = stand.nextRequest();
      request.check(stand.driver.call(stand.queue, request, { layout: "indirect" }));
    },
  },
  {
    id: "VQ-IND-02",
    outcome: "direct descriptors followed by a table form one chain",
    run: (stand) => {
      stand.bringUp();
      for (const direct of [1, 2, 5]) {
        const request = stand.nextRequest();
        const shape = { cut: everyBytes(9), layout: { direct } };
        request.check(stand.driver.call(stand.queue, request, shape));
      }
    },
  },
  {
    id: "VQ-IND-01",
    outcome: "WRITE on the descriptor of a table makes no difference",
    run: (stand) => {
      stand.bringUp();
      sendByHand(stand, (table, length) => ({ at: table, length, flags: INDIRECT | WRITE }));
    },
  },
  {
    id: "VQ-IND-03",
    outcome: "entries are followed by `next`, in whatever order they lie",
    run: (stand) => {
      stand.bringUp();
      const request = stand.nextRequest();
      const { segments } = stand.driver.prepare(request, { cut: everyBytes(19) });
      const table = writeTable(stand, segments, { shuffled: true });
      const answer = callTable(stand, request, segments, {
        at: table,
        length: segments.length * DESC_BYTES,
        flags: INDIRECT,
      });
      request.check(answer);
    },
  },
  ...[1, 2, 3, 5, 15].map((offset): Case => ({
    id: "VQ-IND-05",
    outcome: `a table ${offset} bytes past an aligned address works`,
    run: (stand) => {
      stand.bringUp();
      sendByHand(stand, (table, length) => ({ at: table, length, flags: INDIRECT }), offset);
    },
  })),
  {
    id: "VQ-IND-06",
    outcome: "a table may have more entries than the ring",
    run: (stand) => {
      stand.bringUp({ size: 2 });
      const request = stand.nextRequest();
      request.check(
        stand.driver.call(stand.queue, request, { cut: everyBytes(10), layout: "indirect" }),
      );
    },
  },
  {
    id: "HD-17",
    outcome: "INDIRECT without negotiation breaks the device",
    run: (stand) => {
      stand.bringUp({ features: stand.driver.offered() & ~VIRTIO_RING_F_INDIRECT_DESC });
      breakWith(stand, (table, length) => ({ at: table, length, flags: INDIRECT }));
    },
  },
  {
    id: "VQ-IND-08",
    outcome: "INDIRECT together with NEXT breaks the device",
    run: (stand) => {
      stand.bringUp();
      breakWith(stand, (table, length) => ({ at: table, length, flags: INDIRECT | NEXT, next: 1 }));
    },
  },
  ...[0, 15, 17, 24, (MAX_ENTRIES + 1) * DESC_BYTES, 0xffff_fff0].map((bytes): Case => ({
    id: bytes === 0 ? "HD-20" : bytes % DESC_BYTES === 0 ? "HD-22" : "HD-21",
    outcome: `a table of ${bytes} bytes breaks the device`,
    run: (stand) => {
      stand.bringUp();
      breakWith(stand, (table) => ({ at: table, length: bytes, flags: INDIRECT }));
    },
  })),
  {
    id: "HD-18",
    outcome: "a table inside a table breaks the device",
    run: (stand) => {
      stand.bringUp();
      breakWith(stand, (table) => {
        const inner = stand.ram.allocate(DESC_BYTES, 16);
        stand.queue.writeDescriptor(0, { at: 0x1000, length: 16 }, inner);
        const entry = { at: inner, length: DESC_BYTES, flags: INDIRECT };
        stand.queue.writeDescriptor(0, entry, table);
        return { at: table, length: DESC_BYTES, flags: INDIRECT };
      });
    },
  },
  {
    id: "HD-18",
    outcome: "a table that contains itself breaks the device",
    run: (stand) => {
      stand.bringUp();
      breakWith(stand, (table) => {
        const self = { at: table, length: DESC_BYTES, flags: INDIRECT };
        stand.queue.writeDescriptor(0, self, table);
        return self;
      });
    },
  },
  {
    id: "HD-22",
    outcome: "`next` beyond the table breaks the device",
    run: (stand) => {
      stand.bringUp();
      breakWith(stand, (table) => {
        stand.queue.writeDescriptor(0, { at: 0x1000, length: 16, flags: NEXT, next: 2 }, table);
        return { at: table, length: 2 * DESC_BYTES, flags: INDIRECT };
      });
    },
  },
  {
    id: "HD-12",
    outcome: "a loop inside a table breaks the device",
    run: (stand) => {
      stand.bringUp();
      breakWith(stand, (table) => {
        stand.queue.writeDescriptor(0, { at: 0x1000, length: 16, flags: NEXT, next: 1 }, table);
        stand.queue.writeDescriptor(1, { at: 0x1000, length: 16, flags: NEXT, next: 0 }, table);
        return { at: table, length: 2 * DESC_BYTES, flags: INDIRECT };
      });
    },
  },
  {
    id: "HD-22",
    outcome: "tables outside RAM, or across its end, are returned with length 0",
    run: (stand) => {
      stand.bringUp();
      const { lowEnd, highEnd } = stand.ram;
      for (const at of [lowEnd, lowEnd - DESC_BYTES, highEnd - 8, 2n ** 53n, 2n ** 64n - 16n]) {
        stand.queue.writeDescriptor(0, { at, length: 2 * DESC_BYTES, flags: INDIRECT });
        stand.queue.publish(0);
        stand.kick();
        assertEquals(stand.queue.poll(), [{ head: 0, length: 0 }], `table at ${at}`);
      }
      stand.roundTrip();
    },
  },
];

type HeadOf = (table: number, length: number) => RawDescriptor;

/** Sends an honest request through a table and a head descriptor made by hand. */
function sendByHand(stand: TestStand, headOf: HeadOf, offset = 0): void {
  const request = stand.nextRequest();
  const { segments } = stand.driver.prepare(request, { cut: UNCUT });
  const table = writeTable(stand, segments, { offset });
  const answer = callTable(stand, request, segments, headOf(table, segments.length * DESC_BYTES));
  request.check(answer);
}

function writeTable(
  stand: TestStand,
  segments: readonly Segment[],
  { offset = 0, shuffled = false },
): number {
  const count = segments.length;
  const table = stand.ram.allocate(offset + count * DESC_BYTES, 16) + offset;
  // Entry 0 comes first in any case; the others from the end backwards when shuffled.
  const place = (i: number) => (shuffled && i > 0 ? count - i : i);
  segments.forEach(({ at, length, writable }, i) => {
    const isLast = i === count - 1;
    const flags = (writable ? WRITE : 0) | (isLast ? 0 : NEXT);
    stand.queue.writeDescriptor(place(i), { at, length, flags, next: place(i + 1) }, table);
  });
  return table;
}

function callTable(
  stand: TestStand,
  request: Request,
  segments: readonly Segment[],
  head: RawDescriptor,
) {
  stand.queue.writeDescriptor(0, head);
  stand.queue.track(0, segments.filter((segment) => segment.writable));
  stand.queue.publish(0);
  stand.kick();
  const [used] = stand.queue.poll();
  assertEquals(used?.head, 0);
  const writableAt = segments.find((segment) => segment.writable)?.at ?? 0;
  return {
    response: stand.ram.read(writableAt, request.writable),
    usedLength: used?.length ?? 0,
  };
}

function breakWith(stand: TestStand, headOf: HeadOf): void {
  const { segments } = stand.driver.prepare(stand.nextRequest());
  const table = writeTable(stand, segments, {});
  stand.queue.writeDescriptor(0, headOf(table, segments.length * DESC_BYTES));
  stand.queue.publish(0);
  stand.kick();
  stand.assertBroken();
  assertEquals(stand.queue.usedIdx, 0);
}
