/** The manual loop keeps the contract of `EventLoop`, so that what runs on it runs on the real one. */
import { assertEquals } from "../../src/std/assert.ts";
import { ManualLoop } from "../support/manual_loop.ts";

const READABLE = 1;
const WRITABLE = 4;

function recorder(log: string[], name: string) {
  return { ready: (events: number, token: number) => log.push(`${name} ${events} ${token}`) };
}

Deno.test("a timer fires once, when its time has come", () => {
  const loop = new ManualLoop();
  const log: string[] = [];
  loop.timer(10, recorder(log, "timer"), 7);
  loop.advance(9);
  assertEquals(log, []);
  loop.advance(1);
  loop.advance(100);
  assertEquals(log, ["timer 0 7"]);
});

Deno.test("a disposed timer never fires, and disposing twice is harmless", () => {
  const loop = new ManualLoop();
  const log: string[] = [];
  const timer = loop.timer(1, recorder(log, "timer"));
  timer[Symbol.dispose]();
  timer[Symbol.dispose]();
  loop.advance(10);
  assertEquals([log, loop.pendingTimers], [[], 0]);
});

Deno.test("a file is reported while it has events, and only those asked for", () => {
  const loop = new ManualLoop();
  const log: string[] = [];
  const watch = loop.watch(3, READABLE, recorder(log, "file"), 9);
  loop.setLevel(3, READABLE | WRITABLE);
  loop.turn();
  loop.turn();
  watch.update(0);
  loop.turn();
  watch.update(WRITABLE);
  loop.turn();
  watch[Symbol.dispose]();
  loop.turn();
  assertEquals(log, ["file 1 9", "file 1 9", "file 4 9"]);
});

Deno.test("a deferred task runs in this turn, one deferred by it in the next", () => {
  const loop = new ManualLoop();
  const log: string[] = [];
  loop.defer(() => {
    log.push("first");
    loop.defer(() => log.push("second"));
  });
  loop.turn();
  assertEquals(log, ["first"]);
  loop.turn();
  assertEquals(log, ["first", "second"]);
});
