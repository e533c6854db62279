/** How long the loop looks before it sleeps: learned, bounded, and nothing at all where nothing happens. */
import { assertEquals } from "../../src/std/assert.ts";
import { MAX_POLL_MS, PollBudget } from "../../src/loop/poll_budget.ts";

function after(budget: PollBudget, ...idleMs: readonly number[]): number {
  for (const ms of idleMs) budget.slept(ms);
  return budget.ms;
}

Deno.test("a loop that has never been busy does not look", () => {
  assertEquals(new PollBudget(MAX_POLL_MS).ms, 0);
});

Deno.test("work that comes soon after a sleep makes it look longer, up to the bound", () => {
  const budget = new PollBudget(MAX_POLL_MS);
  const seen = [1, 2, 3, 4, 5, 6].map(() => after(budget, MAX_POLL_MS));
  assertEquals(seen, [0.004, 0.008, 0.016, 0.032, 0.064, MAX_POLL_MS]);
  assertEquals(after(budget, MAX_POLL_MS), MAX_POLL_MS);
});

Deno.test("one time without any load ends the looking", () => {
  const budget = new PollBudget(MAX_POLL_MS);
  after(budget, 0.02, 0.02, 0.02);
  assertEquals(after(budget, 2.1), 0);
});

Deno.test("a pause too long to look through halves it, and pauses alone end it", () => {
  const budget = new PollBudget(MAX_POLL_MS);
  after(budget, 0.02, 0.02, 0.02);
  const pause = MAX_POLL_MS * 1.01;
  assertEquals([1, 2, 3, 4].map(() => after(budget, pause)), [0.008, 0.004, 0, 0]);
});

Deno.test("work that looking just missed for another reason changes nothing", () => {
  const budget = new PollBudget(MAX_POLL_MS);
  const before = after(budget, 0.02, 0.02, 0.02);
  assertEquals(after(budget, before / 2), before);
});

Deno.test("with one processor it never looks", () => {
  assertEquals(after(new PollBudget(0), 0, 0.001, 0.01), 0);
});
