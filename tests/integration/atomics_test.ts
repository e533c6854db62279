/**
 * Guest RAM is an mmap seen through plain ArrayBuffers, not a SharedArrayBuffer. That `Atomics` is exact on those
 * is a property of V8, outside the letter of the specification, and the rings stand on it: this fails if it goes.
 */
import { assertEquals } from "../../src/std/assert.ts";
import { Mapping } from "../../src/sys/mmap.ts";

const ROUNDS = 500_000;

Deno.test("two isolates that add to one word of mapped memory lose no addition", async () => {
  using mapping = Mapping.anonymous(4096, "a test of Atomics");
  const workers = [0, 1].map(() =>
    new Worker(new URL("./atomics_worker.ts", import.meta.url), { type: "module" })
  );
  const finished = workers.map((worker) => new Promise((resolve) => worker.onmessage = resolve));

  for (const worker of workers) {
    worker.postMessage({ address: mapping.address, rounds: ROUNDS });
  }
  await Promise.all(finished);

  for (const worker of workers) worker.terminate();
  const sum = new Uint16Array(mapping.buffer())[0];
  assertEquals(sum, (2 * ROUNDS) & 0xffff, "additions modulo 2**16");
});
