/** `dinovisor doctor`: what this host can do, with a hint for each gap. The checks are in the `*_checks.ts`. */
import { ProblemsFound } from "./errors.ts";
import { STATUS_ERROR } from "./exit_status.ts";
import { guestFindings } from "./guest_checks.ts";
import { type Finding, hostFindings, kvmFindings } from "./host_checks.ts";
import { networkFindings } from "./network_checks.ts";
import { wantsColor, writeResult } from "./output.ts";
import { parseWords } from "./parse.ts";

const COLORS: Readonly<Record<Finding["state"], string>> = {
  ok: "\x1b[32m",
  warn: "\x1b[33m",
  fail: "\x1b[31m",
};
const PLAIN = "\x1b[0m";
const SUBJECT_COLUMN = 20;

/** Prints all findings; status 0 when a machine can run here. */
export async function doctor(words: readonly string[]): Promise<number> {
  const { values, problems } = parseWords("doctor", words);
  if (problems.length > 0) throw new ProblemsFound(problems);
  const findings = [
    ...kvmFindings(),
    ...hostFindings(),
    ...networkFindings(),
    ...await guestFindings(),
  ];
  const canRun = findings.every((finding) => finding.state !== "fail");
  writeResult(
    values.has("json")
      ? JSON.stringify({ canRun, findings }, undefined, 2)
      : findingsText(findings, wantsColor(Deno.stdout)),
  );
  return canRun ? 0 : STATUS_ERROR;
}

/** One line for each finding, hints below theirs, and a verdict. */
export function findingsText(findings: readonly Finding[], color: boolean): string {
  const lines = findings.flatMap(({ state, subject, detail, hint }) => {
    const mark = state.padEnd(4);
    const shown = color ? `${COLORS[state]}${mark}${PLAIN}` : mark;
    const first = `${shown}  ${subject.padEnd(SUBJECT_COLUMN)}${detail}`;
    return hint === undefined
      ? [first]
      : [first, `      ${" ".repeat(SUBJECT_COLUMN)}hint: ${hint}`];
  });
  const failed = findings.filter((finding) => finding.state === "fail").length;
  const warned = findings.filter((finding) => finding.state === "warn").length;
  const verdict = failed > 0
    ? `Machines cannot run here: ${failed} of ${findings.length} checks failed`
    : warned > 0
    ? `Machines can run here; ${warned} of ${findings.length} checks have something to say`
    : "Machines can run here";
  return [...lines, "", verdict].join("\n");
}
