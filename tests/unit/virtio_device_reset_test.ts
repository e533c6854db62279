/** Reset, queue stop and shut-down with requests in flight (BF-RESET, MMIO-18, HD-42, HD-47). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { StateBench } from "../support/state_bench.ts";

Deno.test("BF-RESET-03 a reset takes effect when the last request in flight is done", () => {
  const bench = new StateBench();
  const [queue] = bench.bringUp();
  bench.device.holding = true;
  bench.request(queue);
  bench.request(queue);
  const reset = bench.write(0);
  bench.device.release(1);
  assertEquals([reset.done, bench.state.status], [false, 0x0f]);
  bench.device.release();
  assertEquals([reset.done, bench.state.status, bench.device.unquietResets], [true, 0, 0]);
});

Deno.test("BF-RESET-06 a reset takes interrupts back, also those of its own last completions", () => {
  const bench = new StateBench();
  const [queue] = bench.bringUp();
  bench.device.holding = true;
  bench.request(queue);
  const clears = bench.clears;
  bench.write(0);
  bench.device.release();
  assertEquals(bench.clears, clears + 1);
});

Deno.test("BF-RESET-04, MMIO-31 a reset puts queue registers back to power-on values", () => {
  const bench = new StateBench();
  bench.bringUp();
  const [config] = bench.state.queues;
  assert(config !== undefined);
  bench.write(0);
  assertEquals([config.ready, config.size], [false, config.maxSize]);
  for (const register of [config.desc, config.avail, config.used]) {
    assertEquals(register.value, 0);
  }
});

Deno.test("a second reset while the first waits is answered with it", () => {
  const bench = new StateBench();
  const [queue] = bench.bringUp();
  bench.device.holding = true;
  bench.request(queue);
  const first = bench.write(0);
  const second = bench.write(0);
  bench.device.release();
  assertEquals([first.done, second.done, bench.state.status], [true, true, 0]);
});

Deno.test("HD-47 a completion after the reset reaches neither ring nor driver", () => {
  const bench = new StateBench();
  const [queue] = bench.bringUp();
  bench.device.holding = true;
  bench.request(queue);
  const [held] = bench.device.held;
  assert(held !== undefined);
  bench.device.quiesce = (done) => done(); // a careless device
  bench.write(0);
  queue.retire();
  held.queue.complete(held.chain);
  held.queue.flush();
  assertEquals(bench.interrupt.takeQueues(), []);
  assertEquals(bench.ram.firstForeignChange(), undefined);
});

Deno.test("HD-47 notifyLater of an earlier life is void", () => {
  const bench = new StateBench();
  bench.bringUp();
  bench.device.context?.notifyLater(0);
  bench.write(0);
  bench.bringUp();
  bench.device.notified.length = 0;
  bench.loop.settle();
  assertEquals(bench.device.notified, []);
});

Deno.test("notifyLater of this life notifies in a later turn", () => {
  const bench = new StateBench();
  bench.bringUp();
  bench.device.notified.length = 0;
  bench.device.context?.notifyLater(1);
  assertEquals(bench.device.notified, []);
  bench.loop.settle();
  assertEquals(bench.device.notified, [1]);
});

Deno.test("HD-47 configChanged and needsReset of an earlier life are void", () => {
  const bench = new StateBench();
  bench.bringUp();
  const old = bench.device.context;
  bench.bringUp();
  const configs = bench.interrupt.configs;
  old?.configChanged();
  old?.needsReset(new Error("late"));
  assertEquals([bench.state.status, bench.interrupt.configs], [0x0f, configs]);
});

Deno.test("MMIO-18 a queue stop waits for requests in flight, then leaves the ring alone", () => {
  const bench = new StateBench();
  const [queue] = bench.bringUp();
  bench.device.holding = true;
  bench.request(queue);
  let isStopped = false;
  bench.state.stopQueue(0, () => {
    isStopped = true;
  });
  assert(!isStopped);
  assertEquals(bench.state.queues[0]?.ready, true);
  bench.device.release();
  assert(isStopped);
  assertEquals([bench.state.queues[0]?.ready, queue.poll().length], [false, 1]);
  queue.retire();
  bench.state.kick(0);
  assertEquals(bench.ram.firstForeignChange(), undefined);
});

Deno.test("MMIO-18 the other queue goes on after a queue stop, with what was kicked meanwhile", () => {
  const bench = new StateBench();
  const [first, second] = bench.bringUp();
  bench.device.holding = true;
  bench.request(first);
  bench.state.stopQueue(0, () => {});
  bench.request(second); // kicked while the stop waits
  bench.device.holding = false;
  bench.device.release();
  assertEquals(second.poll().length, 1);
});

Deno.test("HD-42 a queue stopped and started again begins at index 0 of its new ring", () => {
  const bench = new StateBench();
  const [first] = bench.bringUp();
  bench.request(first);
  bench.state.stopQueue(0, () => {});
  const again = bench.startQueue(0);
  bench.request(again);
  assertEquals([first.usedIdx, again.poll().length], [1, 1]);
});

Deno.test("stopping a queue that is not ready, or does not exist, is done at once", () => {
  const bench = new StateBench();
  bench.negotiate();
  const done: number[] = [];
  for (const index of [0, 7, 0xffff_ffff]) bench.state.stopQueue(index, () => done.push(index));
  assertEquals(done, [0, 7, 0xffff_ffff]);
});

Deno.test("BF-RESET-03, HD-47 a reset behind a waiting queue stop meets no request in flight", () => {
  const bench = new StateBench();
  const [first, second] = bench.bringUp();
  bench.device.holding = true;
  bench.request(first);
  bench.state.stopQueue(0, () => {});
  const reset = bench.write(0);
  bench.request(second); // exposed while both wait
  bench.device.release();
  bench.device.release();
  assertEquals([reset.done, bench.state.status], [true, 0]);
  assertEquals(bench.device.unquietResets, 0, "VirtioDevice.reset: nothing is in flight");
});

Deno.test("BF-NOTIF-02 a config change while a queue stop waits is announced all the same", () => {
  const bench = new StateBench();
  const [first] = bench.bringUp();
  bench.device.holding = true;
  bench.request(first);
  bench.state.stopQueue(0, () => {});
  bench.device.bumpVersion();
  bench.device.release();
  assertEquals(bench.interrupt.configs, 1);
});

Deno.test("shut-down finishes what is in flight and takes no more, however often it is kicked", () => {
  const bench = new StateBench();
  const [queue] = bench.bringUp();
  bench.device.holding = true;
  bench.request(queue);
  let isDown = false;
  bench.state.shutDown(() => {
    isDown = true;
  });
  assert(!isDown);
  bench.device.holding = false;
  bench.device.release();
  assert(isDown);
  bench.request(queue);
  bench.loop.settle();
  assertEquals(queue.poll().length, 1, "only the request from before");
});

Deno.test("BF-RESET-07 a thousand resets in every state leave no timer, task or request behind", () => {
  const bench = new StateBench();
  for (let i = 0; i < 1000; i++) {
    bench.write(i & 0xff);
    bench.write(0);
  }
  assertEquals([bench.state.status, bench.loop.pendingTimers, bench.loop.deferredTasks], [0, 0, 0]);
});
