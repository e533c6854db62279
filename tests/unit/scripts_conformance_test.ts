import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { account, type Accounts } from "../../scripts/conformance/account.ts";
import { parseChecklist } from "../../scripts/conformance/checklist.ts";
import { idsIn, readEvidence } from "../../scripts/conformance/evidence.ts";
import { renderJson, renderMarkdown, renderText } from "../../scripts/conformance/render.ts";
import type { Decision } from "../conformance/decisions.ts";

const CHECKLIST = `
## RED: Red things

| id     | level | clause      | requirement              |
| ------ | ----- | ----------- | ------------------------ |
| RED-01 | MUST  | 5.1 / 5.2   | Red is red.              |
| RED-02 | MAY   | 5.1         | Red may be (a \`|\`) dark. |

| id          | level | clause | requirement |
| ----------- | ----- | ------ | ----------- |
| BIG-BLUE-10 | DESC  | 2      | Blue.       |
`;

const OUTPUT = [
  "running 3 tests from ./tests/x_test.ts",
  "RED-01 red is red ... \x1b[0m\x1b[32mok\x1b[0m (1ms)",
  "RED-01, HD-03 red stays red ... ok (2ms)",
  "RED-02 dark ... FAILED (2ms)",
  "x over y: BIG-BLUE-10 blue (not applicable: it is not) ... ignored (0ms)",
].join("\n");

function accounts(decisions: readonly Decision[]): Accounts {
  return account(parseChecklist(CHECKLIST), readEvidence(OUTPUT), decisions);
}

Deno.test("the checklist is read row by row", () => {
  const rows = parseChecklist(CHECKLIST);
  assertEquals(rows.map(({ id, level }) => `${id} ${level}`), [
    "RED-01 MUST",
    "RED-02 MAY",
    "BIG-BLUE-10 DESC",
  ]);
  assertEquals(rows[1]?.text, "Red may be (a `|`) dark.");
  assertEquals(rows[2]?.group, "BIG-BLUE");
});

Deno.test("a checklist with a broken row, or one twice, is refused", () => {
  assertThrows(() => parseChecklist("| RED-01 | MUS | 5 | x |"), Error, "Cannot read");
  assertThrows(
    () => parseChecklist("| RED-01 | MAY | 5 | x |\n| RED-01 | MAY | 5 | y |"),
    Error,
    "RED-01 comes twice",
  );
});

Deno.test("ids in names of tests, ranges among them", () => {
  assertEquals(idsIn("BF-CFG-01, HD-9 x, not UTF-8-like or A-B"), ["BF-CFG-01", "HD-9", "UTF-8"]);
  assertEquals(idsIn("MMIO-08 to MMIO-10 and X-1 to 3"), [
    ...["MMIO-08", "MMIO-09", "MMIO-10"],
    ...["X-1", "X-2", "X-3"],
  ]);
  assertEquals(idsIn("X-3 to Y-9, Z-3 to Z-2"), ["X-3", "Y-9", "Z-3"]);
});

Deno.test("what passes is tested; what fails, fails; the rest needs a decision", () => {
  const { rows, problems } = accounts([]);
  assertEquals(rows.map(({ state, tests }) => [state, tests]), [
    ["tested", 2],
    ["failed", 0],
    ["unaccounted", 0],
  ]);
  assertEquals(problems, ["BIG-BLUE-10 has neither a test nor a decision."]);
});

Deno.test("a decision stands for a group, or for one id; it must be needed and fit", () => {
  const why = "because";
  assertEquals(accounts([{ ids: ["BIG-BLUE-*"], verdict: "open", why }]).problems, []);
  const { rows, problems } = accounts([
    { ids: ["RED-01", "RED-03", "GREEN-*"], verdict: "by construction", why },
    { ids: ["BIG-BLUE-10"], verdict: "not applicable", why },
    { ids: ["BIG-BLUE-10"], verdict: "open", why },
  ]);
  assertEquals(rows[2]?.state, "open");
  assertEquals(problems, [
    "RED-03 is decided, and not on the checklist.",
    "GREEN-* is decided, and not on the checklist.",
    "BIG-BLUE-10 is decided twice.",
    "RED-01 is decided (by construction), and tested as well.",
  ]);
});

Deno.test("the report names what is open and what fails, and has a row for all", () => {
  const found = accounts([{ ids: ["BIG-BLUE-*"], verdict: "open", why: "nobody looked" }]);
  const text = renderText(found);
  assertStringIncludes(text, "RED       1 tested, 1 failed");
  assertStringIncludes(text, "all       1 tested, 1 open, 1 failed");
  assertStringIncludes(text, "BIG-BLUE-10 open: nobody looked");
  assertStringIncludes(text, "RED-02 failed: RED-02 dark");
  const markdown = renderMarkdown(found);
  assertStringIncludes(markdown, "| RED-01 | MUST | 5.1 / 5.2 | Red is red. | tested (2) |");
  assertStringIncludes(markdown, "| open: nobody looked |");
  const json = JSON.parse(renderJson(found));
  assertEquals(json.counts, { tested: 1, failed: 1, open: 1 });
  assertEquals(json.requirements.length, 3);
});
