import { assertEquals } from "../../src/std/assert.ts";
import { Deadlines } from "../../src/virtio/deadlines.ts";
import { ManualLoop } from "../support/manual_loop.ts";

function stand() {
  const loop = new ManualLoop();
  const expired: string[] = [];
  const deadlines = new Deadlines<string>(100, (item) => expired.push(item));
  return { loop, expired, deadlines };
}

Deno.test("each item expires after the delay, in order, once", () => {
  const { loop, expired, deadlines } = stand();
  deadlines.add("a", loop);
  loop.advance(40);
  deadlines.add("b", loop);
  loop.advance(59);
  assertEquals(expired, []);
  loop.advance(1);
  assertEquals(expired, ["a"]);
  loop.advance(40);
  assertEquals(expired, ["a", "b"]);
  loop.advance(1000);
  assertEquals([expired.length, deadlines.size, loop.pendingTimers], [2, 0, 0]);
});

Deno.test("an item that was removed, or begun anew, does not expire before its time", () => {
  const { loop, expired, deadlines } = stand();
  deadlines.add("a", loop);
  deadlines.add("b", loop);
  loop.advance(50);
  deadlines.remove("a");
  deadlines.add("b", loop);
  loop.advance(99);
  assertEquals(expired, []);
  loop.advance(1);
  assertEquals(expired, ["b"]);
});

Deno.test("a hundred thousand waits that end early take one timer", () => {
  const { loop, expired, deadlines } = stand();
  for (let i = 0; i < 100_000; i++) {
    deadlines.add(`${i}`, loop);
    deadlines.remove(`${i}`);
  }
  assertEquals([deadlines.size, loop.pendingTimers], [0, 1]);
  loop.advance(100);
  assertEquals([expired.length, loop.pendingTimers], [0, 0]);
});

Deno.test("what is forgotten does not expire, and leaves no timer", () => {
  const { loop, expired, deadlines } = stand();
  deadlines.add("a", loop);
  deadlines.clear();
  assertEquals(loop.pendingTimers, 0);
  loop.advance(1000);
  assertEquals(expired, []);
});
