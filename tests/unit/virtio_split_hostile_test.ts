/** What the split queue makes of rings and chains that cannot be right (hostile-driver.md, sections 1 to 3). */
import {
  VIRTIO_F_VERSION_1,
  VRING_DESC_F_INDIRECT as INDIRECT,
  VRING_DESC_F_NEXT as NEXT,
  VRING_DESC_F_WRITE as WRITE,
} from "../../src/abi/virtio.ts";
import { assertEquals, assertThrows } from "../../src/std/assert.ts";
import { DriverFault } from "../../src/virtio/faults.ts";
import { MAX_CHAIN_SEGMENTS } from "../../src/virtio/split_queue.ts";
import { DESC_BYTES, type RawDescriptor } from "../support/driver_queue.ts";
import { GuestRam } from "../support/guest_ram.ts";
import { QueueBench } from "../support/queue_bench.ts";
import { everyBytes } from "../support/segments.ts";

/** Writes a table of linked descriptors at an address of its own, `skew` bytes past an aligned one. */
function tableOf(bench: QueueBench, entries: readonly RawDescriptor[], skew = 0): RawDescriptor {
  const at = bench.ram.allocate(entries.length * DESC_BYTES + skew, 16) + skew;
  entries.forEach((entry, i) => {
    const link = i < entries.length - 1 ? NEXT : 0;
    const flags = (entry.flags ?? 0) | link;
    bench.driver.writeDescriptor(i, { ...entry, flags, next: i + 1 }, at);
  });
  return { at, length: entries.length * DESC_BYTES, flags: INDIRECT };
}

function publish(bench: QueueBench, head: RawDescriptor): void {
  bench.driver.writeDescriptor(0, head);
  bench.driver.publish(0);
}

function many(count: number, length: number): RawDescriptor[] {
  return Array.from({ length: count }, () => ({ at: 0, length, flags: WRITE }));
}

/** The chain at head 0 is discarded: given back with length 0, and the queue goes on. */
function assertDiscarded(bench: QueueBench): void {
  assertEquals(bench.serve(), 0);
  assertEquals(bench.driver.poll(), [{ head: 0, length: 0 }]);
  assertEquals([bench.queue.discarded, bench.queue.inFlight], [1, 0]);
  bench.driver.publish(bench.driver.add([bench.segment()]));
  assertEquals(bench.serve(), 1);
  bench.assertMemoryIntact();
}

Deno.test("HD-01 avail.idx up to N ahead is fine, N + 1 is a fault", () => {
  for (const [ahead, isFault] of [[8, false], [9, true], [0x8000, true], [0xffff, true]] as const) {
    const bench = new QueueBench({ size: 8 });
    publish(bench, { at: bench.buffer, length: 1 });
    bench.driver.writeAvailIdx(ahead);
    if (isFault) assertThrows(() => bench.queue.pop(), DriverFault, `${ahead} ahead`);
    else assertEquals(bench.pop().head, 0);
  }
});

Deno.test("HD-03 heads beyond the table are a fault", () => {
  for (const head of [8, 0x100, 0xffff]) {
    const bench = new QueueBench({ size: 8 });
    bench.driver.publish(head);
    assertThrows(() => bench.queue.pop(), DriverFault, `head ${head}`);
  }
});

Deno.test("HD-04 the same head may be in flight N times, not more often", () => {
  const bench = new QueueBench({ size: 4 });
  publish(bench, { at: bench.buffer, length: 1 });
  bench.driver.publish(0, 0, 0);
  const chains = [bench.pop(), bench.pop(), bench.pop(), bench.pop()];
  bench.driver.publish(0);
  assertThrows(() => bench.queue.pop(), DriverFault, "in flight");
  for (const chain of chains) bench.queue.complete(chain);
  bench.queue.flush();
  assertEquals(bench.driver.poll().length, 4);
});

Deno.test("a fault leaves no chain counted as in flight", () => {
  const bench = new QueueBench();
  publish(bench, { at: bench.buffer, length: 1, flags: NEXT, next: 0 });
  assertThrows(() => bench.queue.pop(), DriverFault);
  assertEquals(bench.queue.inFlight, 0);
});

Deno.test("HD-05 a ring full of unusable chains is given back in one pop", () => {
  const bench = new QueueBench({ size: 8 });
  bench.driver.writeDescriptor(0, { at: bench.ram.lowEnd, length: 1 });
  bench.driver.publish(0, 0, 0, 0, 0, 0, 0, 0);
  assertEquals(bench.queue.pop(), undefined);
  bench.queue.flush();
  assertEquals([bench.driver.poll().length, bench.queue.discarded], [8, 8]);
});

for (const next of [8, 9, 0xffff]) {
  Deno.test(`HD-11 next = ${next} in a table of 8 is a fault`, () => {
    const bench = new QueueBench({ size: 8 });
    publish(bench, { at: bench.buffer, length: 1, flags: NEXT, next });
    assertThrows(() => bench.queue.pop(), DriverFault, `next ${next}`);
  });
}

Deno.test("HD-12 loops are a fault, however long; N descriptors in a row are not", () => {
  for (const length of [1, 2, 8]) {
    const bench = new QueueBench({ size: 8 });
    for (let i = 0; i < length; i++) {
      const next = (i + 1) % length;
      bench.driver.writeDescriptor(i, { at: bench.buffer, length: 1, flags: NEXT, next });
    }
    bench.driver.publish(0);
    assertThrows(() => bench.queue.pop(), DriverFault, "loops");
  }
  const bench = new QueueBench({ size: 8 });
  const chain = bench.exchange(...everyBytes(2).pieces(bench.segment(16)));
  assertEquals(chain.reader.remaining, 16);
});

Deno.test("VQ-SPLIT-10 next without NEXT means nothing", () => {
  const bench = new QueueBench();
  publish(bench, { at: bench.buffer, length: 5, next: 0xffff });
  assertEquals(bench.pop().reader.remaining, 5);
});

for (
  const { what, chain } of [
    { what: "HD-25 W, R", chain: [WRITE, 0] },
    { what: "HD-25 R, W, R", chain: [0, WRITE, 0] },
  ]
) {
  Deno.test(`${what} is discarded`, () => {
    const bench = new QueueBench();
    publish(bench, tableOf(bench, chain.map((flags) => ({ at: bench.buffer, length: 4, flags }))));
    assertDiscarded(bench);
  });
}

Deno.test("HD-25 a writable descriptor followed by a table that starts readable is discarded", () => {
  const bench = new QueueBench();
  bench.driver.writeDescriptor(1, tableOf(bench, [{ at: bench.buffer, length: 4 }]));
  publish(bench, { at: bench.buffer, length: 4, flags: WRITE | NEXT, next: 1 });
  assertDiscarded(bench);
});

Deno.test("HD-16 an empty readable descriptor after a writable one carries nothing", () => {
  const bench = new QueueBench();
  const entries = [{ at: bench.buffer, length: 4, flags: WRITE }, { at: 2n ** 60n, length: 0 }];
  publish(bench, tableOf(bench, entries));
  assertEquals(bench.pop().writer.remaining, 4);
});

Deno.test("HD-16 a chain of empty descriptors is discarded", () => {
  const bench = new QueueBench();
  publish(bench, tableOf(bench, many(5, 0)));
  assertDiscarded(bench);
});

Deno.test("HD-22 a table of as many entries as a chain may have works, one more is a fault", () => {
  const most = new QueueBench();
  publish(most, tableOf(most, many(MAX_CHAIN_SEGMENTS, 4)));
  assertEquals(most.pop().writer.remaining, 4 * MAX_CHAIN_SEGMENTS);
  const more = new QueueBench();
  publish(more, tableOf(more, many(MAX_CHAIN_SEGMENTS + 1, 4)));
  assertThrows(() => more.queue.pop(), DriverFault, "more than");
});

Deno.test("HD-27 more segments than a chain may have, direct and in a table, are discarded", () => {
  const bench = new QueueBench();
  bench.driver.writeDescriptor(1, tableOf(bench, many(MAX_CHAIN_SEGMENTS, 4)));
  publish(bench, { at: bench.buffer, length: 4, flags: NEXT, next: 1 });
  assertDiscarded(bench);
});

Deno.test("HD-27 overlapping descriptors that add up to more than 4 GiB are discarded", () => {
  const lowBytes = 0x80_0000;
  const bench = new QueueBench({ ram: new GuestRam(lowBytes, 0x1000) });
  publish(bench, tableOf(bench, many(513, lowBytes)));
  assertDiscarded(bench);
});

Deno.test("HD-27 overlapping descriptors that add up to just under 4 GiB are counted exactly", () => {
  const lowBytes = 0x80_0000;
  const bench = new QueueBench({ ram: new GuestRam(lowBytes, 0x1000) });
  publish(bench, tableOf(bench, [...many(511, lowBytes), ...many(1, lowBytes - 1)]));
  assertEquals(bench.pop().writer.remaining, 0xffff_ffff);
});

for (const skew of [1, 2, 3, 4, 7, 8, 13]) {
  Deno.test(`VQ-IND-05 a table ${skew} bytes off alignment gives the same chain`, () => {
    const bench = new QueueBench();
    const high = 0x1_0000_0010;
    const entries = [{ at: bench.buffer, length: 3 }, { at: high, length: 5, flags: WRITE }];
    publish(bench, tableOf(bench, entries, skew));
    const chain = bench.pop();
    assertEquals([chain.reader.remaining, chain.writer.remaining], [3, 5]);
  });
}

const INDIRECT_FAULTS: readonly {
  readonly what: string;
  readonly part: string;
  readonly head: (bench: QueueBench) => RawDescriptor;
}[] = [
  {
    what: "HD-18 a table in a table",
    part: "inside an indirect table",
    head: (bench) => tableOf(bench, [tableOf(bench, many(1, 4))]),
  },
  {
    what: "VQ-IND-08 INDIRECT with NEXT",
    part: "together with NEXT",
    head: (bench) => ({ ...tableOf(bench, many(2, 4)), flags: INDIRECT | NEXT, next: 1 }),
  },
  ...[0, 1, 15, 17, 0xffff_ffff].map((length) => ({
    what: `HD-20, HD-21 a table of ${length} bytes`,
    part: `has length ${length}`,
    head: (bench: QueueBench) => ({ ...tableOf(bench, many(2, 4)), length }),
  })),
  {
    what: "HD-22 a table of almost 4 GiB",
    part: "more than 1024 entries",
    head: (bench) => ({ ...tableOf(bench, many(2, 4)), length: 0xffff_fff0 }),
  },
];

for (const { what, part, head } of INDIRECT_FAULTS) {
  Deno.test(`${what} is a fault`, () => {
    const bench = new QueueBench();
    publish(bench, head(bench));
    assertThrows(() => bench.queue.pop(), DriverFault, part);
  });
}

Deno.test("HD-17 INDIRECT without the feature is a fault", () => {
  const bench = new QueueBench({ features: VIRTIO_F_VERSION_1 });
  publish(bench, tableOf(bench, many(1, 4)));
  assertThrows(() => bench.queue.pop(), DriverFault, "not negotiated");
});

Deno.test("HD-22 tables that are not whole in RAM are discarded", () => {
  for (const where of ["lowEnd", "highEnd"] as const) {
    const bench = new QueueBench();
    publish(bench, { at: bench.ram[where] - DESC_BYTES, length: 32, flags: INDIRECT });
    assertDiscarded(bench);
  }
});

Deno.test("HD-15 addresses at and above 2**53 are discarded, buffers and tables alike", () => {
  for (const at of [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 8n]) {
    for (const flags of [0, WRITE, INDIRECT]) {
      const bench = new QueueBench();
      publish(bench, { at, length: 16, flags });
      assertDiscarded(bench);
    }
  }
});
