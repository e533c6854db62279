import { assert, assertEquals } from "../../src/std/assert.ts";
import { TokenBucket } from "../../src/virtio/token_bucket.ts";

Deno.test("a full bucket gives one second's worth at once, then its rate", () => {
  const bucket = new TokenBucket(1000, 0);
  assertEquals(bucket.take(5000, 0), 1000);
  assertEquals(bucket.take(5000, 0), 0);
  assertEquals(bucket.take(5000, 100), 100);
  assertEquals(bucket.take(30, 200), 30);
  assertEquals(bucket.take(5000, 200), 70);
});

Deno.test("what is saved up is bounded", () => {
  const bucket = new TokenBucket(1000, 0);
  bucket.take(1000, 0);
  assertEquals(bucket.take(1e9, 3_600_000), 1000);
});

Deno.test("after the delay it names there are as many bytes as it was asked about", () => {
  for (const rate of [1, 7, 1000, 1_000_000]) {
    const bucket = new TokenBucket(rate, 0);
    bucket.take(1e9, 0);
    const ms = bucket.delay(64);
    assert(ms >= 1);
    assert(bucket.take(1e9, ms) >= Math.min(64, rate), `rate ${rate}, delay ${ms}`);
  }
});

Deno.test("over an hour of greed no more than rate times time is given, in steps of any length", () => {
  for (const step of [1, 3, 250, 5000]) {
    const bucket = new TokenBucket(333, 0);
    let given = bucket.take(1e9, 0);
    for (let now = step; now <= 3_600_000; now += step) given += bucket.take(1e9, now);
    assert(given <= 333 * 3601, `step ${step}: ${given}`);
    if (step <= 1000) assert(given >= 333 * 3590, `step ${step}: ${given}`);
  }
});

Deno.test("a clock that stands still, or a rate below one byte a step, loses nothing", () => {
  const bucket = new TokenBucket(1, 0);
  assertEquals(bucket.take(10, 0), 1);
  let given = 0;
  for (let now = 0; now <= 10_000; now += 10) given += bucket.take(10, now);
  assertEquals(given, 10);
});
