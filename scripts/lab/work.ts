/** What runs in the lab: a shell script for each kind of work. Called by `scripts/lab.ts`. */
import { CORE_FILTER, CORE_SET } from "./core_set.ts";
import type { LabWork } from "./options.ts";
import { quoted, ROOT } from "./run_disk.ts";

const INTEGRATION = "tests/integration";
/** Time limits of tests are for KVM on real hardware; under TCG everything takes this many times as long. */
const SLOWNESS = "5";

/** The bash script that does `work`; `files` are the test files, if tests are the work. */
export function workScript(work: LabWork, files: readonly string[]): string {
  if (work.kind === "command") return work.command;
  if (work.kind === "shell") return "exec bash -i";
  const filter = work.choice === "core" ? ["--filter", CORE_FILTER] : [];
  // Types are the business of the step `check`.
  const words = ["deno", "test", "--no-check", "-A", ...filter, ...files];
  return `exec ${words.map(quoted).join(" ")}`;
}

/** Environment of the work. */
export function workEnvironment(): Record<string, string> {
  const color = Deno.stdout.isTerminal() && Deno.env.get("NO_COLOR") === undefined;
  return {
    DINOVISOR_TEST_SLOWNESS: SLOWNESS,
    // Which cases are wanted is for whoever calls the lab to say.
    DINOVISOR_TESTS: Deno.env.get("DINOVISOR_TESTS") ?? "",
    TERM: Deno.env.get("TERM") ?? "dumb",
    ...(color ? {} : { NO_COLOR: "1" }),
  };
}

/** The test files that `work` asks for, or what is wrong with its words. */
export async function chosenTests(work: LabWork): Promise<readonly string[] | string> {
  if (work.kind !== "tests") return [];
  return chooseFrom(await integrationTests(), work.choice);
}

/** Pure part of {@linkcode chosenTests}. */
export function chooseFrom(
  files: readonly string[],
  choice: "core" | "all" | readonly string[],
): readonly string[] | string {
  if (choice === "all") return files;
  const words = choice === "core" ? CORE_SET : choice;
  const useless = words.find((word) => !files.some((file) => file.includes(word)));
  if (useless !== undefined) return `no test file in ${INTEGRATION} has "${useless}" in its name`;
  return files.filter((file) => words.some((word) => file.includes(word)));
}

async function integrationTests(): Promise<string[]> {
  const files: string[] = [];
  for await (const { name } of Deno.readDir(`${ROOT}/${INTEGRATION}`)) {
    if (name.endsWith("_test.ts")) files.push(`${INTEGRATION}/${name}`);
  }
  return files.sort();
}
