/** One owner's part of a shared loop: its faults are its own, and nothing of it stays. */
import { OwnedLoop } from "../../src/loop/owned_loop.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { ManualLoop } from "../support/manual_loop.ts";

const EVENTS = 1;

function owners() {
  const loop = new ManualLoop();
  const failures: string[] = [];
  const mine = new OwnedLoop(loop, (error) => failures.push(String(error)));
  const other = new OwnedLoop(loop, (error) => failures.push(`other: ${error}`));
  return { loop, mine, other, failures };
}

Deno.test("what a callback throws ends its owner's part and nobody else's", () => {
  const { loop, mine, other, failures } = owners();
  const ran: string[] = [];
  mine.defer(() => {
    throw new Error("mine");
  });
  mine.defer(() => ran.push("mine, later"));
  other.defer(() => ran.push("other"));
  loop.settle();
  assertEquals(failures, ["Error: mine"]);
  assertEquals(ran, ["other"]);
});

Deno.test("a watch, a timer and a poll source of a part that is over are not heard any more", () => {
  const { loop, mine, other } = owners();
  const ran: string[] = [];
  for (const [name, part] of [["mine", mine], ["other", other]] as const) {
    part.watch(name === "mine" ? 3 : 4, EVENTS, { ready: () => ran.push(`${name} watch`) });
    part.timer(5, { ready: () => ran.push(`${name} timer`) });
  }
  mine[Symbol.dispose]();
  loop.setLevel(3, EVENTS);
  loop.setLevel(4, EVENTS);
  loop.turn();
  loop.setLevel(4, 0);
  loop.advance(10);
  assertEquals(ran, ["other watch", "other timer"]);
  assertEquals([loop.watchedFiles, loop.pendingTimers], [1, 0]);
});

Deno.test("a part disposed twice, and a watch of it once more, is harmless", () => {
  const { mine, failures } = owners();
  const watch = mine.watch(3, EVENTS, { ready: () => {} });
  mine[Symbol.dispose]();
  mine[Symbol.dispose]();
  watch[Symbol.dispose]();
  assertEquals(failures, []);
});
