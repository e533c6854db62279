/**
 * `deno task lab`: a nested host under QEMU's TCG in which the real kvm_amd gives /dev/kvm, and this checkout's
 * integration tests in it. Progress on stderr, the tests' output on stdout; the exit status is theirs.
 *
 *     deno run -A scripts/lab.ts --help
 */
import { GuestBuildError } from "../src/guest/errors.ts";
import { ensureArtifacts } from "./lab/artifacts.ts";
import { ensureHostImage, ensureQemu } from "./lab/host_image.ts";
import { LabFailure, runLab } from "./lab/lab_host.ts";
import { HELP, type LabOptions, type LabWork, parseOptions } from "./lab/options.ts";
import { chosenMemoryMib } from "./lab/qemu.ts";
import { makeRunDisk } from "./lab/run_disk.ts";
import { RunDirectory } from "./lab/run_directory.ts";
import { chosenTests, workEnvironment, workScript } from "./lab/work.ts";

const MINUTE_MS = 60_000;
/** Deno says of a test that takes long so after 1, 2, 4 and 8 minutes. */
const QUIET_MS = 5 * MINUTE_MS;
/** The lab ends itself this much after we should have ended it. */
const SLACK_SECONDS = 60;
/** What the command line itself gets wrong, as everywhere in this tree. */
const USAGE_STATUS = 2;
/** The lab failed, not what ran in it; `dinovisor` says so with the same number. */
const LAB_STATUS = 125;
/** 128 + SIGINT, as shells have it. */
const INTERRUPTED_STATUS = 130;

const started = performance.now();

function say(text: string): void {
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(5);
  console.error(`lab: ${seconds} s  ${text}`);
}

async function main(): Promise<number> {
  const options = parseOptions(Deno.args);
  if (typeof options === "string") {
    console.error(`error: ${options}`);
    return USAGE_STATUS;
  }
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const files = await chosenTests(options.work);
  if (typeof files === "string") {
    console.error(`error: ${files}`);
    return USAGE_STATUS;
  }
  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => interrupt.abort(new Interrupted()));
  }
  try {
    return await boot(options, files, interrupt.signal);
  } catch (error) {
    return explain(error);
  }
}

class Interrupted extends Error {}

async function boot(
  options: LabOptions,
  files: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const image = { stage: say, signal, rebuild: options.rebuild };
  await ensureQemu(image);
  const host = await ensureHostImage(image);
  const core = options.work.kind === "tests" && options.work.choice === "core";
  await ensureArtifacts({ files, core, stage: say, signal });
  const limitMs = timeLimit(options.work, options.limitMinutes);
  const token = crypto.randomUUID();
  await using run = await RunDirectory.make(
    options.keep ? (path) => say(`kept: ${path}`) : undefined,
  );
  const runDisk = await makeRunDisk(run.path, {
    token,
    limitSeconds: limitMs === undefined ? undefined : limitMs / 1000 + SLACK_SECONDS,
    terminal: options.work.kind === "shell" ? terminalSize() : undefined,
    environment: workEnvironment(),
    work: workScript(options.work, files),
  });
  const memoryMib = options.memoryMib ?? chosenMemoryMib(await Deno.readTextFile("/proc/meminfo"));
  say(`boot: ${memoryMib} MiB, ${options.cpus} CPUs`);
  const { cpus, verbose } = options;
  const terminal = options.work.kind === "shell";
  const status = await runLab({
    machine: { ...host, runDisk, memoryMib, cpus, terminal, verbose },
    directory: run.socketDirectory,
    token,
    limitMs,
    quietMs: options.work.kind === "tests" ? QUIET_MS : undefined,
    signal,
    begun: () => say(terminal ? "booted; exit ends the lab" : "booted"),
  });
  say(`ended with status ${status}`);
  return status;
}

function timeLimit(work: LabWork, minutes: number | undefined): number | undefined {
  if (minutes !== undefined) return minutes * MINUTE_MS;
  if (work.kind !== "tests") return undefined;
  return (work.choice === "core" ? 15 : 90) * MINUTE_MS;
}

function terminalSize(): { columns: number; rows: number } {
  try {
    return Deno.consoleSize();
  } catch {
    return { columns: 80, rows: 24 }; // no terminal: a script on stdin
  }
}

function explain(error: unknown): number {
  if (error instanceof Interrupted) return INTERRUPTED_STATUS;
  if (error instanceof LabFailure) {
    console.error(`--- the lab's console\n${error.console}\n---`);
    console.error(`error: ${error.message}`);
    return LAB_STATUS;
  }
  if (!(error instanceof GuestBuildError)) throw error;
  if (error.logTail) console.error(error.logTail);
  console.error(`error: ${error.message} [${error.code}]`);
  if (error.hint) console.error(`hint: ${error.hint}`);
  return LAB_STATUS;
}

if (import.meta.main) Deno.exit(await main());
