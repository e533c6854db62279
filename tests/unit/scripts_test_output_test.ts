import { assertEquals } from "@std/assert";
import { PrettyOutput, type TestReport } from "../../scripts/test_output.ts";

function read(text: string): TestReport {
  const output = new PrettyOutput();
  for (const line of text.split("\n")) output.line(line);
  return output.report();
}

const WHOLE = `running 3 tests from ./tests/unit/a_test.ts
good ... ok (30ms)
not here ... ignored (0ms)
steps ...
  one ... ok (1ms)
  two ... FAILED (0ms)
steps ... FAILED (due to 1 failed step) (2ms)
Uncaught error from ./tests/unit/b_test.ts FAILED

 ERRORS 

steps ... two => ./tests/unit/a_test.ts:1:172
error: Error: x

 FAILURES 

steps ... two => ./tests/unit/a_test.ts:1:172
./tests/unit/b_test.ts (uncaught error)

FAILED | 1 passed (1 step) | 2 failed (1 step) | 1 ignored (42ms)
`;

Deno.test("test output: totals and failures come from the summary", () => {
  assertEquals(read(WHOLE), {
    complete: true,
    passed: 1,
    failed: 2,
    ignored: 1,
    failures: [
      "steps ... two => ./tests/unit/a_test.ts:1:172",
      "./tests/unit/b_test.ts (uncaught error)",
    ],
    files: ["tests/unit/a_test.ts", "tests/unit/b_test.ts"],
    running: undefined,
  });
});

Deno.test("test output: colours make no difference", () => {
  const report = read("\x1b[0m\x1b[32mok\x1b[0m | 7 passed | 0 failed \x1b[0m(1s)\x1b[0m");
  assertEquals([report.complete, report.passed, report.failed, report.ignored], [true, 7, 0, 0]);
});

Deno.test("test output: a dead process leaves what was seen, and the test it died in", () => {
  const report = read(`running 2 tests from ./tests/integration/a_test.ts
boots ... ok (30ms)
breaks ... FAILED (3ms)
running 4 tests from ./tests/integration/b_test.ts
no kvm ... ignored (0ms)
talks ...
------- output -------
liar ... ok (1ms)
ok | 99 passed | 0 failed (1s)
----- output end -----
talks ... ok (5ms)
steps ...
  one ... ok (1ms)
steps ... ok (2ms)
dies ...`);
  assertEquals(report, {
    complete: false,
    passed: 3,
    failed: 1,
    ignored: 1,
    failures: ["breaks => ./tests/integration/a_test.ts"],
    files: ["tests/integration/a_test.ts", "tests/integration/b_test.ts"],
    running: "dies => ./tests/integration/b_test.ts",
  });
});

Deno.test("test output: a process that never began says so", () => {
  const report = read("");
  assertEquals([report.complete, report.files, report.running], [false, [], undefined]);
});
