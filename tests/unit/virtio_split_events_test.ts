/** Notification suppression of the split queue: interrupts, kicks, and the re-check that loses no wake-up. */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { EVENT_IDX, FLAGS_ONLY, QueueBench } from "../support/queue_bench.ts";

/** Serves `count` chains in one batch; whether that interrupted. */
function interruptsAfter(bench: QueueBench, count: number): boolean {
  for (let i = 0; i < count; i++) {
    bench.driver.publish(bench.driver.add([bench.segment()]));
  }
  bench.serve();
  bench.driver.poll();
  return bench.interrupt.takeQueues().length > 0;
}

/** A queue whose indexes have reached `index`. */
function benchAt(index: number): QueueBench {
  const bench = new QueueBench({ features: EVENT_IDX });
  bench.driver.writeDescriptor(0, { at: bench.buffer, length: 1 });
  for (let done = 0; done < index;) {
    const batch = Math.min(bench.driver.size, index - done);
    bench.driver.publish(...new Array<number>(batch).fill(0));
    done += bench.serve();
    bench.driver.poll();
  }
  bench.interrupt.takeQueues();
  return bench;
}

for (const flags of [0, 0xfffe]) {
  Deno.test(`VQ-EVT-02, HD-09 without EVENT_IDX avail.flags ${flags} means interrupt`, () => {
    const bench = new QueueBench();
    bench.driver.setAvailFlags(flags);
    assert(interruptsAfter(bench, 1));
  });
}

for (const flags of [1, 0xffff]) {
  Deno.test(`VQ-EVT-03 without EVENT_IDX avail.flags ${flags} means silence`, () => {
    const bench = new QueueBench();
    bench.driver.setAvailFlags(flags);
    assert(!interruptsAfter(bench, 1));
  });
}

Deno.test("VQ-EVT-01 without EVENT_IDX used_event means nothing", () => {
  const bench = new QueueBench();
  bench.driver.setUsedEvent(100);
  assert(interruptsAfter(bench, 1));
});

for (
  const { before, batch, event, wanted } of [
    { before: 0, batch: 1, event: 0, wanted: true },
    { before: 0, batch: 1, event: 1, wanted: false },
    { before: 0, batch: 4, event: 3, wanted: true },
    { before: 0, batch: 4, event: 4, wanted: false },
    { before: 4, batch: 4, event: 3, wanted: false },
    { before: 4, batch: 4, event: 4, wanted: true },
    { before: 4, batch: 4, event: 7, wanted: true },
    { before: 4, batch: 4, event: 0xffff, wanted: false },
    { before: 0xfffe, batch: 1, event: 0xfffe, wanted: true },
    { before: 0xfffe, batch: 4, event: 0xffff, wanted: true },
    { before: 0xfffe, batch: 4, event: 0x0000, wanted: true },
    { before: 0xfffe, batch: 4, event: 0x0001, wanted: true },
    { before: 0xfffe, batch: 4, event: 0x0002, wanted: false },
    { before: 0xfffe, batch: 4, event: 0xfffd, wanted: false },
  ]
) {
  const name = `used_event ${event}, ${batch} entries from ${before} on`;
  Deno.test(`VQ-EVT-07, VQ-EVT-08, VQ-EVT-13 ${name}: ${wanted ? "interrupt" : "silence"}`, () => {
    const bench = benchAt(before);
    bench.driver.setAvailFlags(1); // must not count (VQ-EVT-06)
    bench.driver.setUsedEvent(event);
    assertEquals(interruptsAfter(bench, batch), wanted);
  });
}

for (const size of [1, 2, 8, 256]) {
  Deno.test(`VQ-EVT-12 used_event and avail_event lie behind rings of ${size}`, () => {
    const bench = new QueueBench({ size, features: EVENT_IDX });
    bench.driver.setUsedEvent(1);
    assert(!interruptsAfter(bench, 1));
    assert(interruptsAfter(bench, 1));
    bench.queue.arm();
    assertEquals(bench.driver.availEvent, 2);
    bench.assertMemoryIntact();
  });
}

Deno.test("VQ-EVT-04, VQ-EVT-05 without EVENT_IDX disarm and arm move used.flags between 1 and 0", () => {
  const bench = new QueueBench();
  bench.queue.disarm();
  assertEquals(bench.driver.usedFlags, 1);
  bench.queue.arm();
  assertEquals(bench.driver.usedFlags, 0);
});

Deno.test("VQ-EVT-09 with EVENT_IDX used.flags stays 0", () => {
  const bench = new QueueBench({ features: EVENT_IDX });
  bench.queue.disarm();
  assertEquals(bench.driver.usedFlags, 0);
  bench.queue.arm();
  assertEquals(bench.driver.usedFlags, 0);
});

Deno.test("VQ-EVT-10 with EVENT_IDX arming asks for the kick of the next entry", () => {
  const bench = new QueueBench({ features: EVENT_IDX });
  for (const expected of [1, 2, 3]) {
    interruptsAfter(bench, 1);
    bench.queue.arm();
    assertEquals(bench.driver.availEvent, expected);
  }
});

for (const features of [FLAGS_ONLY, EVENT_IDX]) {
  const name = features === EVENT_IDX ? "with EVENT_IDX" : "without EVENT_IDX";

  Deno.test(`VQ-EVT-11 ${name} arming tells of what came after the last pop`, () => {
    const bench = new QueueBench({ features });
    bench.queue.disarm();
    assertEquals(bench.queue.pop(), undefined);
    bench.driver.publish(bench.driver.add([bench.segment()])); // no kick: we had asked for none
    assert(bench.queue.arm());
    assertEquals(bench.serve(), 1);
    assert(!bench.queue.arm());
  });

  Deno.test(`VQ-EVT-11 ${name} an armed driver kicks for the next chain`, () => {
    const bench = new QueueBench({ features });
    const isEventIdx = features === EVENT_IDX;
    for (let i = 0; i < 20; i++) {
      assert(!bench.queue.arm());
      bench.driver.publish(bench.driver.add([bench.segment()]));
      assert(bench.driver.wantsKick(isEventIdx), `chain ${i}`);
      bench.queue.disarm();
      bench.serve();
      bench.driver.poll();
    }
  });

  Deno.test(`VQ-EVT-05 ${name} a busy device is not kicked again`, () => {
    const bench = new QueueBench({ features });
    bench.queue.arm();
    bench.driver.publish(bench.driver.add([bench.segment()]));
    bench.driver.wantsKick(features === EVENT_IDX);
    bench.queue.disarm();
    bench.driver.publish(bench.driver.add([bench.segment()]));
    assert(!bench.driver.wantsKick(features === EVENT_IDX));
  });

  Deno.test(`${name} arming after a put-back tells that there is something`, () => {
    const bench = new QueueBench({ features });
    bench.queue.unpop(bench.exchange(bench.segment()));
    assert(bench.queue.arm());
  });
}
