/** Poll sources: everyone has a turn, whoever is gone is left alone, and going to sleep misses nothing. */
import { assertEquals } from "../../src/std/assert.ts";
import type { PollSource } from "../../src/loop/event_loop.ts";
import { PollSet } from "../../src/loop/poll_set.ts";

/** Has work while `work` > 0, each piece of which is written down. */
class Source implements PollSource {
  asleep = false;
  onServe = () => {};

  constructor(readonly log: string[], readonly name: string, public work = 0) {}

  look(): boolean {
    return this.work > 0;
  }

  serve(): void {
    this.work--;
    this.log.push(this.name);
    this.onServe();
  }

  arm(): boolean {
    this.asleep = true;
    return this.look();
  }
}

function setOf(...sources: readonly Source[]): PollSet {
  const set = new PollSet();
  for (const source of sources) set.add(source);
  return set;
}

Deno.test("a pass does one piece of each source's work, however much one has", () => {
  const log: string[] = [];
  const set = setOf(
    new Source(log, "busy", 1000),
    new Source(log, "idle"),
    new Source(log, "b", 2),
  );
  assertEquals([set.serve(), set.serve(), set.serve()], [true, true, true]);
  assertEquals(log, ["busy", "b", "busy", "b", "busy"]);
});

Deno.test("a pass over sources without work finds none", () => {
  assertEquals(setOf(new Source([], "a"), new Source([], "b")).serve(), false);
  assertEquals(new PollSet().size, 0);
});

Deno.test("a source removed by another in the same pass is not touched any more", () => {
  const log: string[] = [];
  const [first, second] = [new Source(log, "first", 5), new Source(log, "second", 5)];
  const set = setOf(first);
  const watch = set.add(second);
  first.onServe = () => watch[Symbol.dispose]();
  set.serve();
  set.arm();
  assertEquals([log, second.asleep], [["first", "first"], false]);
  watch[Symbol.dispose]();
});

Deno.test("a source added in a pass is looked at in the next", () => {
  const log: string[] = [];
  const first = new Source(log, "first", 1);
  const set = setOf(first);
  first.onServe = () => set.add(new Source(log, "new", 1));
  set.serve();
  assertEquals(log, ["first"]);
  set.serve();
  assertEquals(log, ["first", "new"]);
});

Deno.test("before a sleep every source is armed, and what one finds then is done", () => {
  const log: string[] = [];
  const sources = [new Source(log, "a"), new Source(log, "b", 1), new Source(log, "c")];
  const set = setOf(...sources);
  assertEquals([set.arm(), log], [true, ["b"]]);
  assertEquals(sources.map((source) => source.asleep), [true, true, true]);
  assertEquals(set.arm(), false);
});
