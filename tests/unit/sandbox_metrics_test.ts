/** Metrics as a stream: one at once, then at intervals, and a last one. */
import { metricsStream, type VmMetrics, vmMetrics } from "../../src/sandbox/vm_metrics.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../../src/std/assert.ts";

const MACHINE = {
  metrics: () => ({
    exits: { mmio: 1, pio: 2, other: 3 },
    memory: { total: 10, resident: 5 },
    devices: [
      { name: "console0", kind: "console", counts: {} },
      { name: "block1", kind: "block", counts: { readBytes: 7 } },
      { name: "net2", kind: "net", counts: { rxBytes: 8 } },
    ],
  }),
};

Deno.test("a machine's counts are sorted by what they are of", () => {
  const { timestamp, block, net, ...rest } = vmMetrics(MACHINE, 4);
  assert(Math.abs(Date.now() - timestamp.getTime()) < 60_000);
  assertEquals(rest, {
    bootMs: 4,
    exits: { mmio: 1, pio: 2, other: 3 },
    memory: { total: 10, resident: 5 },
  });
  assertEquals(JSON.stringify([block, net]), '[{"block1":{"readBytes":7}},{"net2":{"rxBytes":8}}]');
});

/** A stream that counts how often metrics were taken. */
function counting(options: Parameters<typeof metricsStream>[2] = {}) {
  const ended = Promise.withResolvers<void>();
  const told = { taken: 0 };
  const take = (): VmMetrics => ({ ...vmMetrics(MACHINE, 0), bootMs: ++told.taken });
  return { stream: metricsStream(take, ended.promise, options), end: ended.resolve, told };
}

Deno.test("the first comes at once, the next after the interval, none that nobody reads", async () => {
  const { stream, told } = counting({ intervalMs: 50 });
  assertEquals(told.taken, 0);
  const reader = stream.getReader();
  const begin = performance.now();
  for (let i = 1; i <= 3; i++) assertEquals((await reader.read()).value?.bootMs, i);
  assert(performance.now() - begin >= 95);
  await new Promise((resolve) => setTimeout(resolve, 150));
  assertEquals(told.taken, 3);
  await reader.cancel();
});

Deno.test("when the machine ends there is a last one at once, then the end", async () => {
  const { stream, end } = counting({ intervalMs: 1_000_000 });
  const reader = stream.getReader();
  await reader.read();
  const last = reader.read();
  end();
  assertEquals((await last).value?.bootMs, 2);
  assertEquals((await reader.read()).done, true);
});

Deno.test("the signal makes it fail with its reason, while it waits and before", async () => {
  const ending = new AbortController();
  const { stream } = counting({ intervalMs: 1_000_000, signal: ending.signal });
  const reader = stream.getReader();
  await reader.read();
  const next = reader.read();
  const reason = new Error("enough");
  ending.abort(reason);
  assertEquals(await assertRejects(() => next), reason);
  const late = counting({ signal: ending.signal });
  assertEquals(await assertRejects(() => late.stream.getReader().read()), reason);
});

Deno.test("leaving it leaves no timer, and no interval is no interval", async () => {
  const { stream } = counting({ intervalMs: 1_000_000 });
  for await (const _ of stream) break;
  const waiting = counting({ intervalMs: 1_000_000 }).stream.getReader();
  await waiting.read();
  waiting.read();
  await waiting.cancel(); // the sanitizers of Deno.test find a timer that is left
  for (const intervalMs of [0, -1, NaN]) assertThrows(() => counting({ intervalMs }), RangeError);
});
