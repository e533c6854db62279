/**
 * `deno task conformance`: runs the tests that name requirements of the virtio specification, and accounts for every
 * requirement: tested, so by construction, not applicable with the reason, or open.
 *
 *     deno run -A scripts/conformance.ts [--markdown FILE] [--json FILE] [--tests FILE]
 *
 * `--tests` reads what `deno test` has printed instead of running it. Exit status 1 when a test fails or an id is not
 * accounted for.
 */
import { parseArgs } from "../src/std/parse_args.ts";
import { DECISIONS } from "../tests/conformance/decisions.ts";
import { account } from "./conformance/account.ts";
import { parseChecklist } from "./conformance/checklist.ts";
import { readEvidence } from "./conformance/evidence.ts";
import { renderJson, renderMarkdown, renderText } from "./conformance/render.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const FILES = ["markdown", "json", "tests"];
/** What the command line itself gets wrong, as everywhere in this tree. */
const USAGE_STATUS = 2;

async function main(): Promise<number> {
  let wrong: string | undefined;
  const options = parseArgs(Deno.args, {
    string: FILES,
    boolean: [],
    collect: [],
    unknown: (word) => {
      wrong ??= word;
      return false;
    },
  });
  if (wrong !== undefined) {
    console.error(
      `error: cannot read "${wrong}": the options are --markdown, --json and --tests FILE`,
    );
    return USAGE_STATUS;
  }
  const checklist = parseChecklist(
    await Deno.readTextFile(`${ROOT}tests/conformance/checklist.md`),
  );
  const output = typeof options.tests === "string"
    ? await Deno.readTextFile(options.tests)
    : await runTests();
  const accounts = account(checklist, readEvidence(output), DECISIONS);
  console.log(renderText(accounts));
  if (typeof options.markdown === "string") {
    await Deno.writeTextFile(options.markdown, renderMarkdown(accounts));
  }
  if (typeof options.json === "string") {
    await Deno.writeTextFile(options.json, renderJson(accounts));
  }
  const failed = accounts.rows.some(({ state }) => state === "failed");
  return failed || accounts.problems.length > 0 ? 1 : 0;
}

/** What they print. A failing test shows in the accounts; one that no requirement names is `deno task ok`'s business. */
async function runTests(): Promise<string> {
  console.error("running tests/conformance and tests/unit …");
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--no-check", "--no-prompt", "tests/conformance", "tests/unit"],
    cwd: ROOT,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).output();
  return new TextDecoder().decode(stdout);
}

if (import.meta.main) Deno.exit(await main());
