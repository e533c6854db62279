/** The split queue in ordinary use: order, indexes, sizes, completion, put-back and break-off. */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { GuestRam } from "../support/guest_ram.ts";
import { QueueBench } from "../support/queue_bench.ts";

const MANY = 70_000;
const MAX_SIZE = 32768;
const SIZES = Array.from({ length: Math.log2(MAX_SIZE) + 1 }, (_, i) => 2 ** i);

Deno.test("an empty queue gives nothing", () => {
  const { queue } = new QueueBench();
  assertEquals(queue.pop(), undefined);
  assertEquals([queue.inFlight, queue.index, queue.size], [0, 3, 8]);
});

Deno.test("chains come in the order of the available ring, each under its head", () => {
  const bench = new QueueBench();
  const heads = [1, 2, 3].map(() => bench.driver.add([bench.segment()]));
  bench.driver.publish(...heads.toReversed());
  assertEquals([bench.pop().head, bench.pop().head, bench.pop().head], heads.toReversed());
  assertEquals(bench.queue.inFlight, 3);
});

Deno.test("completions are invisible until flush, then visible at once with their lengths", () => {
  const bench = new QueueBench();
  const first = bench.exchange(bench.segment(8, true));
  const second = bench.exchange(bench.segment(4));
  first.writer.u32(1);
  bench.queue.complete(second);
  bench.queue.complete(first);
  assertEquals(bench.driver.usedIdx, 0);
  bench.queue.flush();
  assertEquals(bench.driver.poll(), [{ head: second.head, length: 0 }, {
    head: first.head,
    length: 4,
  }]);
  assertEquals(bench.queue.inFlight, 0);
});

Deno.test("a flush without completions writes nothing and interrupts nobody", () => {
  const bench = new QueueBench();
  bench.queue.flush();
  bench.queue.flush();
  assertEquals([bench.driver.usedIdx, bench.interrupt.takeQueues()], [0, []]);
});

Deno.test("the interrupt is sent after used.idx has moved, and names the queue", () => {
  const bench = new QueueBench();
  bench.queue.complete(bench.exchange(bench.segment()));
  const seen: number[] = [];
  bench.interrupt.queue = (index) => seen.push(index, bench.driver.usedIdx);
  bench.queue.flush();
  assertEquals(seen, [3, 1]);
});

Deno.test("a chain put back comes again, with all of its bytes", () => {
  const bench = new QueueBench();
  const chain = bench.exchange(bench.segment(16), bench.segment(8, true));
  const head = chain.head;
  chain.reader.skip(5);
  chain.writer.u8(1);
  bench.queue.unpop(chain);
  assertEquals(bench.queue.inFlight, 0);
  const again = bench.pop();
  assertEquals([again.head, again.reader.remaining, again.writer.remaining], [head, 16, 8]);
  assertEquals(again.writer.written, 0);
  assertEquals(bench.queue.pop(), undefined);
});

Deno.test("putting back works across the wrap of the index", () => {
  const bench = new QueueBench({ size: 1 });
  for (let i = 0; i < 0x1_0000; i++) {
    bench.queue.complete(bench.exchange(bench.segment()));
    bench.queue.flush();
    bench.driver.poll();
  }
  const chain = bench.exchange(bench.segment());
  bench.queue.unpop(chain);
  assertEquals(bench.pop().head, chain.head);
});

Deno.test(`VQ-SPLIT-12 ${MANY} chains go through a queue of four`, () => {
  const bench = new QueueBench({ size: 4 });
  const segments = [bench.segment()];
  for (let i = 0; i < MANY; i++) {
    bench.driver.publish(bench.driver.add(segments));
    assertEquals(bench.serve() + bench.driver.poll().length, 2);
  }
  assertEquals(bench.driver.usedIdx, MANY & 0xffff);
});

for (const size of SIZES) {
  Deno.test(`VQ-SPLIT-01, VQ-SPLIT-02 a queue of ${size} can be full, twice over`, () => {
    const ram = new GuestRam(0x20_0000, 0x1000);
    const bench = new QueueBench({ size, ram });
    const segments = [bench.segment()];
    for (let round = 0; round < 2; round++) {
      const heads = Array.from({ length: size }, () => bench.driver.add(segments));
      bench.driver.publish(...heads);
      assertEquals(bench.serve(), size);
      assertEquals(bench.driver.poll().map(({ head }) => head), heads);
    }
    bench.assertMemoryIntact();
  });
}

Deno.test("VQ-SPLIT-03 rings above 4 GiB work", () => {
  const bench = new QueueBench({ where: "high" });
  bench.driver.publish(bench.driver.add([bench.segment()]));
  assertEquals(bench.serve(), 1);
  assertEquals(bench.driver.poll().length, 1);
});

Deno.test("VQ-SPLIT-15 the used element is there before used.idx says so", () => {
  const bench = new QueueBench();
  const chain = bench.exchange(bench.segment(8, true));
  chain.writer.u32(7);
  bench.queue.complete(chain);
  assertEquals(bench.ram.u32(bench.driver.placement.used + 8), 4);
  assertEquals(bench.driver.usedIdx, 0);
});

Deno.test("VQ-SPLIT-22 a descriptor changed after the pop makes no difference", () => {
  const bench = new QueueBench();
  const chain = bench.exchange(bench.segment(16));
  bench.driver.writeDescriptor(chain.head, { at: 2n ** 60n, length: 0xffff_ffff, flags: 7 });
  assertEquals(chain.reader.remaining, 16);
  chain.reader.skip(16);
});

Deno.test("HD-07 indexes written by the driver into the used ring are never read back", () => {
  const bench = new QueueBench();
  const { used } = bench.driver.placement;
  bench.queue.complete(bench.exchange(bench.segment()));
  bench.queue.flush();
  bench.ram.set(used + 2, 2, 0x1234);
  bench.queue.complete(bench.exchange(bench.segment()));
  bench.queue.flush();
  assertEquals(bench.driver.usedIdx, 2);
});

Deno.test("chains are pooled: a long run makes no new ones", () => {
  const bench = new QueueBench();
  const seen = new Set<unknown>();
  for (let i = 0; i < 100; i++) {
    const chain = bench.exchange(bench.segment());
    seen.add(chain);
    bench.queue.complete(chain);
    bench.queue.flush();
    bench.driver.poll();
  }
  assertEquals(seen.size, 1);
});

Deno.test("BF-STAT-09 a queue broken off touches its rings no more", () => {
  const bench = new QueueBench();
  const chain = bench.exchange(bench.segment());
  bench.driver.publish(bench.driver.add([bench.segment()]));
  bench.driver.retire();
  bench.queue.breakOff();
  bench.queue.complete(chain);
  bench.queue.flush();
  bench.queue.disarm();
  assert(!bench.queue.arm());
  assertEquals(bench.queue.pop(), undefined);
  assertEquals(bench.queue.inFlight, 0);
  assertEquals(bench.interrupt.takeQueues(), []);
  bench.assertMemoryIntact();
});
