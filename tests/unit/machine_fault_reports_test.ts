/** A line a second for each device, whatever its driver does to it. */
import { FaultReports } from "../../src/machine/fault_reports.ts";
import { assertEquals } from "../../src/std/assert.ts";

Deno.test("INV-4 faults at a high rate are a line a second, with their number", () => {
  const clock = { now: 5000 };
  const said: string[] = [];
  const faults = new FaultReports(clock, (message) => said.push(message));
  for (let ms = 0; ms < 2500; ms++, clock.now++) faults.fault(new Error(`at ${ms}`));
  assertEquals(said, ["at 0", "at 1000 (999 before)", "at 2000 (999 before)"]);
});

Deno.test("a fault after a quiet second is told at once, without a number", () => {
  const clock = { now: 0 };
  const said: string[] = [];
  const faults = new FaultReports(clock, (message) => said.push(message));
  faults.fault(new Error("one"));
  clock.now = 1000;
  faults.fault(new Error("two"));
  assertEquals(said, ["one", "two"]);
});
