/** Adds to a word of memory mapped by another isolate: one side of `atomics_test.ts`. */
/// <reference lib="deno.worker" />
import { bytesAt } from "../../src/sys/mmap.ts";

declare const self: DedicatedWorkerGlobalScope;

self.onmessage = (event: MessageEvent<{ address: number; rounds: number }>) => {
  const { address, rounds } = event.data;
  const words = new Uint16Array(bytesAt(address, 4096));
  Atomics.add(words, 1, 1);
  while (Atomics.load(words, 1) < 2); // both start together, or nothing would collide
  for (let i = 0; i < rounds; i++) Atomics.add(words, 0, 1);
  self.postMessage("done");
};
