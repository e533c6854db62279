/**
 * `deno task test`: every check and every test, in order, going on after a failure.
 * The last line on stdout is always `N passed, N failed, N skipped`; the exit status is 0 only if nothing
 * failed. A static check counts as one test; a test process that dies counts as one failure and costs
 * no other file its run.
 *
 *     deno run -A scripts/test.ts [--only STEP,…] [-- ARGUMENTS FOR deno test]
 */
import { PrettyOutput, type TestReport } from "./test_output.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const MINUTE_MS = 60_000;
/** How long output may still arrive once its process has ended: a guest it left behind may hold the pipe. */
const PIPE_GRACE_MS = 2_000;

/** A command that passes or fails as a whole. */
interface CheckStep {
  readonly kind: "check";
  readonly heading: string;
  readonly args: readonly string[];
}
/** The test files of a folder. */
interface TestStep {
  readonly kind: "tests";
  readonly heading: string;
  readonly folder: string;
  readonly flags: readonly string[];
  readonly limitMs: number;
}
/** A program that prints what `deno test` prints, about tests that it runs elsewhere. */
interface ProgramStep {
  readonly kind: "program";
  readonly heading: string;
  readonly args: readonly string[];
  readonly limitMs: number;
}

// No --allow flag at all: these tests can neither open /dev/kvm nor touch a file, even by accident.
const NO_PERMISSIONS = ["--no-prompt"];

const STEPS: Readonly<Record<string, CheckStep | TestStep | ProgramStep>> = {
  fmt: { kind: "check", heading: "Format", args: ["fmt", "--check"] },
  lint: { kind: "check", heading: "Lint", args: ["lint"] },
  check: {
    kind: "check",
    heading: "Types, of examples in documentation and README too",
    args: ["check", "--doc", ".", "README.md"],
  },
  layers: {
    kind: "check",
    heading: "Direction of imports",
    args: ["run", "-A", "scripts/check_layers.ts"],
  },
  abi: {
    kind: "check",
    heading: "Numbers and layouts against C headers",
    args: ["run", "-A", "scripts/check_abi.ts"],
  },
  doc: {
    kind: "check",
    heading: "Documentation of what programs import",
    args: ["doc", "--lint", "src/mod.ts", "src/testing.ts"],
  },
  unit: {
    kind: "tests",
    heading: "Unit tests, without permissions",
    folder: "tests/unit",
    flags: NO_PERMISSIONS,
    limitMs: 5 * MINUTE_MS,
  },
  conformance: {
    kind: "tests",
    heading: "Conformance tests, without permissions",
    folder: "tests/conformance",
    flags: NO_PERMISSIONS,
    limitMs: 5 * MINUTE_MS,
  },
  requirements: {
    kind: "check",
    heading: "Every requirement of the specification is accounted for",
    args: ["run", "-A", "scripts/conformance.ts"],
  },
  kvm: {
    kind: "tests",
    heading: "Integration tests, with KVM",
    folder: "tests/integration",
    flags: ["-A"],
    limitMs: 55 * MINUTE_MS,
  },
  lab: {
    kind: "program",
    heading: "The core of the integration tests, in a nested host with a real kvm_amd",
    args: ["run", "-A", "scripts/lab.ts"],
    // Its own limit is shorter and says more; on a fresh machine it builds its image first.
    limitMs: 30 * MINUTE_MS,
  },
};
/** `--only static` stands for the checks that run no test. */
const STATIC = ["fmt", "lint", "check", "layers", "abi", "doc"];

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
  /** One line each: what failed. */
  readonly failures: string[];
}

interface Ended {
  readonly success: boolean;
  /** `exit code 1`, `signal SIGSEGV`, or that it took too long. */
  readonly how: string;
}

/** Runs this same Deno with `args`; copies its stdout to ours, a line at a time to `line` as well. */
async function runDeno(
  args: readonly string[],
  limitMs: number,
  line?: (text: string) => void,
): Promise<Ended> {
  const color = Deno.stdout.isTerminal() && Deno.env.get("NO_COLOR") === undefined;
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    env: { DENO_NO_UPDATE_CHECK: "1", ...(color ? {} : { NO_COLOR: "1" }) },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, limitMs);
  const reader = child.stdout.getReader();
  const copied = copyLines(reader, line ?? (() => {}));
  const status = await child.status;
  clearTimeout(limit);
  const grace = setTimeout(() => reader.cancel(), PIPE_GRACE_MS);
  await copied;
  clearTimeout(grace);
  if (late) return { success: false, how: `no end after ${limitMs / MINUTE_MS} minutes` };
  const how = status.signal === null ? `exit code ${status.code}` : `signal ${status.signal}`;
  return { success: status.success, how };
}

async function copyLines(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  line: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    await writeAll(chunk.value);
    const lines = (rest + decoder.decode(chunk.value, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    lines.forEach(line);
  }
  if (rest === "") return;
  line(rest);
  // Whatever comes next starts on a line of its own.
  await writeAll(new TextEncoder().encode("\n"));
}

async function writeAll(bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += await Deno.stdout.write(bytes.subarray(done));
  }
}

async function runCheck(name: string, step: CheckStep, totals: Totals): Promise<void> {
  const ended = await runDeno(step.args, 5 * MINUTE_MS);
  if (ended.success) totals.passed++;
  else fail(totals, `${name}: deno ${step.args.join(" ")} ended with ${ended.how}`);
}

function fail(totals: Totals, what: string): void {
  totals.failed++;
  totals.failures.push(what);
}

async function testFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  try {
    for await (const entry of Deno.readDir(`${ROOT}${folder}`)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) files.push(...await testFiles(path));
      else if (/(?:^|[._])test\.(?:ts|mts|js|mjs)$/.test(entry.name)) files.push(path);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return files.sort();
}

/** Runs the files in one process; after a death, the files it had not come to in another. */
async function runTests(
  name: string,
  step: TestStep,
  extra: readonly string[],
  totals: Totals,
): Promise<void> {
  const files = await testFiles(step.folder);
  if (files.length === 0) return console.log(`There are no test files in ${step.folder} yet`);
  const queue: string[][] = [files];
  for (let batch = queue.shift(); batch !== undefined; batch = queue.shift()) {
    const output = new PrettyOutput();
    // Types are the business of the step `check`.
    const args = ["test", "--no-check", ...step.flags, ...extra, ...batch];
    const ended = await runDeno(args, step.limitMs, (text) => output.line(text));
    const report = output.report();
    addReport(name, report, ended, totals);
    if (report.complete) continue;
    const unseen = batch.filter((file) => !report.files.includes(file));
    if (report.files.length > 0) {
      const running = report.running ?? `after ${report.files.at(-1)}`;
      fail(totals, `${name}: the test process died (${ended.how}): ${running}`);
      if (unseen.length > 0) queue.push(unseen);
    } else if (batch.length > 1) {
      // No file got as far as running: one of them does not load. Alone, it harms no other.
      queue.push(...batch.map((file) => [file]));
    } else fail(totals, `${name}: ${batch[0]} does not load (${ended.how})`);
  }
}

/** What a run says about its tests; one that ends badly though no test did counts as a failure. */
function addReport(name: string, report: TestReport, ended: Ended, totals: Totals): void {
  totals.passed += report.passed;
  totals.skipped += report.ignored;
  totals.failed += report.failed;
  totals.failures.push(...report.failures.map((failure) => `${name}: ${failure}`));
  if (report.complete && !ended.success && report.failed === 0) {
    fail(totals, `${name}: ${ended.how}, no test failed`);
  }
}

async function runProgram(name: string, step: ProgramStep, totals: Totals): Promise<void> {
  const output = new PrettyOutput();
  const ended = await runDeno(step.args, step.limitMs, (text) => output.line(text));
  const report = output.report();
  addReport(name, report, ended, totals);
  if (report.complete) {
    const ran = report.passed + report.failed;
    if (ran === 0) fail(totals, `${name}: it ran no test`);
    return;
  }
  const running = report.running === undefined ? "" : `: ${report.running}`;
  fail(totals, `${name}: deno ${step.args.join(" ")} ended with ${ended.how}${running}`);
}

interface Options {
  readonly steps: readonly string[];
  readonly extra: readonly string[];
}

/** The steps to run, or what is wrong with the arguments. */
function parseOptions(args: readonly string[]): Options | string {
  const end = args.includes("--") ? args.indexOf("--") : args.length;
  const wanted: string[] = [];
  for (let at = 0; at < end; at++) {
    const [flag, value = at + 1 < end ? args[++at] : undefined] = (args[at] ?? "").split("=", 2);
    if (flag !== "--only" || value === undefined) {
      return `cannot read "${args.slice(0, end).join(" ")}": the one option is --only STEP,…`;
    }
    wanted.push(...value.split(",").flatMap((name) => name === "static" ? STATIC : [name]));
  }
  const unknown = wanted.find((name) => !Object.hasOwn(STEPS, name));
  if (unknown !== undefined) {
    return `there is no step "${unknown}": choose from static, ${Object.keys(STEPS).join(", ")}`;
  }
  const all = Object.keys(STEPS);
  const steps = wanted.length === 0 ? all : all.filter((name) => wanted.includes(name));
  return { steps, extra: args.slice(end + 1) };
}

async function main(): Promise<number> {
  const options = parseOptions(Deno.args);
  if (typeof options === "string") {
    console.error(`error: ${options}`);
    return 2;
  }
  const totals: Totals = { passed: 0, failed: 0, skipped: 0, failures: [] };
  for (const name of options.steps) {
    const step = STEPS[name];
    if (step === undefined) continue;
    console.log(`\n== ${name}: ${step.heading}`);
    if (step.kind === "check") await runCheck(name, step, totals);
    else if (step.kind === "program") await runProgram(name, step, totals);
    else await runTests(name, step, options.extra, totals);
  }
  if (totals.failures.length > 0) console.log("\n== Failures");
  for (const failure of totals.failures) console.log(failure);
  console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
  return totals.failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
