/** Queues that the event loop looks at: no kick while it looks, none missed when it sleeps, no look at a dead ring. */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { EVENT_IDX, FLAGS_ONLY, QueueBench } from "../support/queue_bench.ts";
import { StateBench } from "../support/state_bench.ts";
import type { DriverQueue } from "../support/driver_queue.ts";

const VARIANTS = [
  { name: "flags", features: FLAGS_ONLY, eventIdx: false },
  { name: "EVENT_IDX", features: EVENT_IDX, eventIdx: true },
];

/** A polled queue whose device has served one chain and waits for more. */
function waiting(features: bigint): QueueBench {
  const bench = new QueueBench({ features });
  bench.queue.setPolled();
  bench.queue.disarm();
  publish(bench);
  bench.serve();
  bench.queue.arm();
  return bench;
}

function publish(bench: QueueBench): void {
  bench.driver.publish(bench.driver.add([bench.segment()]));
}

for (const { name, features, eventIdx } of VARIANTS) {
  Deno.test(`${name}: a device that asks for kicks gets none while the loop looks`, () => {
    const bench = waiting(features);
    bench.driver.wantsKick(eventIdx); // the first chain's
    for (let i = 0; i < 3; i++) {
      assertEquals(bench.queue.hasNews, false);
      publish(bench);
      assertEquals([bench.driver.wantsKick(eventIdx), bench.queue.hasNews], [false, true]);
      bench.queue.disarm();
      bench.serve();
      bench.queue.arm();
    }
  });

  Deno.test(`${name}: once the loop sleeps the next chain brings a kick`, () => {
    const bench = waiting(features);
    bench.driver.wantsKick(eventIdx);
    assertEquals(bench.queue.armNow(), false);
    publish(bench);
    assertEquals(bench.driver.wantsKick(eventIdx), true);
  });

  Deno.test(`${name}: a chain that came before the loop sleeps keeps it awake`, () => {
    const bench = waiting(features);
    publish(bench);
    assertEquals(bench.queue.armNow(), true);
  });

  Deno.test(`${name}: a device that asked for silence is not told, asleep or awake`, () => {
    const bench = waiting(features);
    bench.queue.disarm();
    publish(bench);
    assertEquals([bench.queue.hasNews, bench.queue.armNow()], [false, false]);
  });

  Deno.test(`${name}: what a device was told of and let lie is news again only with more to it`, () => {
    const bench = waiting(features);
    publish(bench);
    bench.queue.noteTold();
    assertEquals([bench.queue.hasNews, bench.queue.armNow()], [false, false]);
    publish(bench);
    assertEquals(bench.queue.hasNews, true);
    bench.queue.noteTold();
    assertEquals(bench.queue.arm(), true);
    assertEquals(bench.queue.hasNews, true); // the device asked again
  });
}

Deno.test("a broken queue has no news and is not armed", () => {
  const bench = waiting(EVENT_IDX);
  publish(bench);
  const event = bench.driver.availEvent;
  bench.queue.breakOff();
  assertEquals([bench.queue.hasNews, bench.queue.armNow()], [false, false]);
  assertEquals(bench.driver.availEvent, event);
});

/** A chain of four bytes and back, without a kick. */
function publishQuietly(bench: StateBench, queue: DriverQueue): void {
  const at = bench.ram.allocate(8);
  queue.publish(queue.add([
    { at, length: 4, writable: false },
    { at: at + 4, length: 4, writable: true },
  ]));
}

Deno.test("a look finds a chain that nobody kicked for, and serves that queue alone", () => {
  const bench = new StateBench();
  const [, queue] = bench.bringUp();
  bench.device.notified.length = 0;
  publishQuietly(bench, queue);
  assertEquals(bench.loop.look(), true);
  assertEquals([bench.device.notified, queue.poll().length], [[1], 1]);
  assertEquals(bench.loop.look(), false);
});

const ENDS: readonly { what: string; end: (bench: StateBench) => void }[] = [
  { what: "stopped", end: (bench) => bench.state.stopQueue(0, () => {}) },
  { what: "reset", end: (bench) => bench.write(0) },
  { what: "given up by the driver", end: (bench) => bench.write(0x80) },
  { what: "broken", end: (bench) => bench.device.context?.needsReset(new Error("test")) },
  { what: "shut down", end: (bench) => bench.state.shutDown(() => {}) },
];
for (const { what, end } of ENDS) {
  Deno.test(`a queue whose device is ${what} is not looked at, and its ring not touched`, () => {
    const bench = new StateBench();
    const [queue] = bench.bringUp();
    end(bench);
    bench.device.notified.length = 0;
    bench.ram.write(queue.placement.used, new Uint8Array(6 + 8 * 8).fill(0xaa));
    publishQuietly(bench, queue);
    assertEquals(bench.loop.look(), false);
    bench.loop.turn();
    assertEquals(bench.device.notified, []);
    assert(bench.loop.pollSources <= (what === "shut down" ? 2 : 1));
    assert(bench.ram.read(queue.placement.used, 6 + 8 * 8).every((byte) => byte === 0xaa));
  });
}

Deno.test("while requests drain nothing is looked for; what came meanwhile is served after", () => {
  const bench = new StateBench();
  const [first, second] = bench.bringUp();
  bench.device.holding = true;
  bench.request(first);
  bench.state.stopQueue(0, () => {});
  bench.device.notified.length = 0;
  publishQuietly(bench, second);
  assertEquals(bench.loop.look(), false);
  bench.loop.turn();
  assertEquals(bench.device.notified, []);
  bench.device.holding = false;
  bench.device.release();
  assertEquals(second.poll().length, 1);
});

Deno.test("a queue set up again after a reset is looked at once, not twice", () => {
  const bench = new StateBench();
  bench.bringUp();
  bench.write(0);
  const [queue] = bench.bringUp();
  bench.device.notified.length = 0;
  publishQuietly(bench, queue);
  bench.loop.look();
  assertEquals([bench.device.notified, bench.loop.pollSources], [[0], 2]);
});
