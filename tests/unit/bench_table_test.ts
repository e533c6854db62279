/** The arithmetic of the benchmarks: medians, targets, budgets, flags, the plot, and memory told from a smaps file. */
import { brokenBudgets, budgetsApplied } from "../bench/budget.ts";
import { overheadOf } from "../bench/smaps.ts";
import { benchOptions, OptionsError } from "../bench/options.ts";
import { ratios, svg } from "../bench/svg.ts";
import { json, judge, markdown, median, type Row, spread } from "../bench/table.ts";
import { assert, assertEquals, assertThrows } from "../../src/std/assert.ts";

function row(columns: Record<string, number[]>, more: Partial<Row> = {}): Row {
  const samples = new Map(Object.entries(columns));
  return { name: "a row", unit: "ms", better: "less", samples, ...more };
}

Deno.test("median and the middle half", () => {
  assertEquals(median([5, 1, 3]), 3);
  assertEquals(median([4, 1, 3, 2]), 2.5);
  assertEquals(spread([1, 2, 3, 4, 5]), [2, 4]);
  assert(Number.isNaN(median([])));
});

Deno.test("a target is judged against the best of the columns it names", () => {
  const less = row({ ours: [8], "QEMU a": [20], "QEMU b": [10], other: [1] });
  assertEquals(judge(less, { against: "QEMU", atMost: 0.8 })?.met, true);
  assertEquals(judge(less, { against: "QEMU", atMost: 0.79 })?.met, false);
  const more = row({ ours: [12], "QEMU a": [5], "QEMU b": [10] }, { better: "more" });
  assertEquals(judge(more, { against: "QEMU", atLeast: 1.2 })?.met, true);
  assertEquals(judge(more, { against: "QEMU", atLeast: 1.3 })?.met, false);
});

Deno.test("a target without a column is about the figure, one with a column not measured is not judged", () => {
  const alone = row({ ours: [9, 11, 10] });
  assertEquals(judge(alone, { atMost: 10 }), { text: "at most 10 ms", value: 10, met: true });
  assertEquals(judge(alone, { against: "QEMU", atMost: 1 }), undefined);
});

Deno.test("the table says met and missed", () => {
  const text = markdown([
    row({ ours: [1], QEMU: [2] }, { targets: [{ against: "QEMU", atMost: 0.8 }] }),
    row({ ours: [3], QEMU: [2] }, { targets: [{ against: "QEMU", atMost: 0.8 }] }),
  ]).split("\n");
  assertEquals(text[2], "| a row | ms | 1.00 | 2.00 QEMU | 0.50 | at most 0.8 of QEMU: met |");
  assertEquals(text[3], "| a row | ms | 3.00 | 2.00 QEMU | 1.50 | at most 0.8 of QEMU: MISSED |");
});

Deno.test("the JSON keeps every sample", () => {
  const parsed = JSON.parse(json([row({ ours: [1, 2, 4] })], { cpus: 2 }));
  assertEquals(parsed.cpus, 2);
  assertEquals(parsed.rows[0].columns.ours, { median: 2, values: [1, 2, 4] });
});

Deno.test("budgets: broken ones are named, unmeasured ones do not count", () => {
  const rows = [row({ ours: [4], QEMU: [2] }), row({ ours: [1], QEMU: [2] }, { name: "good" })];
  const budgets = {
    "a row": { against: "QEMU", atMost: 1.5 },
    good: { against: "QEMU", atMost: 1.5 },
    "not measured": { against: "QEMU", atMost: 1 },
  };
  assertEquals(brokenBudgets(rows, budgets), ["a row: 2.00, the budget is at most 1.5 of QEMU"]);
  assertEquals(budgetsApplied(rows, budgets), 2);
  assertEquals(budgetsApplied([row({ ours: [4] })], budgets), 0);
});

Deno.test("flags: all bad ones are named at once", () => {
  const options = benchOptions(["--only", "disk,cpu", "--quick"], ["disk", "cpu", "exits"]);
  assertEquals([options.only, options.quick, options.check], [["disk", "cpu"], true, false]);
  const error = assertThrows(
    () => benchOptions(["--only", "disc", "--fast", "--json="], ["disk"]),
    OptionsError,
  );
  const problems = error.message.split("\n");
  assertEquals(problems.length, 3);
  for (const word of ["--fast", "--only disc: the parts are disk", "--json wants a value"]) {
    assert(problems.some((line) => line.includes(word)), word);
  }
});

Deno.test("the plot turns ratios so that more is better, and draws a line for every series", () => {
  const rows = [
    row({ ours: [1], "A<B": [2] }),
    row({ ours: [1], QEMU: [2] }, { better: "more" }),
    ...[1, 2, 4].map((x) => row({ ours: [x] }, { step: { series: "s", axis: "vCPUs", x } })),
  ];
  assertEquals(ratios(rows).map(({ times }) => times), [2, 0.5]);
  const drawn = svg(rows, "caption");
  assert(drawn.includes("A&lt;B") && !drawn.includes("A<B"), "names are escaped");
  assertEquals(drawn.match(/<polyline/g)?.length, 1);
  assertEquals(drawn.match(/<circle/g)?.length, 3);
  assert(!drawn.includes("NaN"));
});

Deno.test("memory beyond the guests' RAM: mappings of its size do not count, others do", () => {
  const mapping = (sizeKib: number, pssKib: number) =>
    `7f0000000000-7f0004000000 rw-p 00000000 00:00 0 \nSize: ${sizeKib} kB\n` +
    `KernelPageSize: 4 kB\nRss: ${pssKib} kB\nPss: ${pssKib} kB\nPss_Dirty: 1 kB\n`;
  const smaps = mapping(64 * 1024, 10_000) + mapping(64 * 1024 + 2048, 5000) + mapping(9000, 2048);
  assertEquals(overheadOf(smaps, 64), 2);
  assertThrows(() => overheadOf(mapping(9000, 2048), 64), Error, "no mapping of 64 MiB");
});
