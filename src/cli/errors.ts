/** Problems and thrown errors as the user sees them: one `error:` line, one `hint:` line, or one JSON object. */
import type { Problem } from "../virtio/device_kind.ts";
import { writeError } from "./output.ts";
import { sourceTrace } from "./source_trace.ts";

/** How errors are shown. */
export interface ErrorStyle {
  readonly json: boolean;
  /** With stack traces. */
  readonly verbose: boolean;
}

/** A problem, and what was thrown when something was. */
export interface ShownProblem extends Problem {
  readonly stack?: string;
  /** Last lines of a build's log. */
  readonly logTail?: string;
}

/** Several things are wrong with what the user gave. */
export class ProblemsFound extends Error {
  override readonly name = "ProblemsFound";
  constructor(readonly problems: readonly Problem[]) {
    super(problems.map((problem) => problem.message).join("; "));
  }
}

const INTERNAL_HINT =
  "this looks like a bug in dinovisor: run it again with --verbose and report it";
const PERMISSION_HINT = "run it with all permissions: deno run -A main.ts, or deno task start";

/** What errors of this project carry beside their message. */
interface Details {
  readonly code?: unknown;
  readonly hint?: unknown;
  readonly field?: unknown;
  readonly logTail?: unknown;
}

/** What anything thrown means. Errors of this project carry a stable `code`, and a `hint` where one is known. */
export function problemsOf(error: unknown): readonly ShownProblem[] {
  if (error instanceof ProblemsFound) return error.problems;
  if (!(error instanceof Error)) return [internal(String(error), {})];
  const { code, hint, field, logTail } = error as Details;
  const more = {
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(typeof logTail === "string" ? { logTail } : {}),
  };
  if (error instanceof Deno.errors.NotCapable) {
    const message = error.message;
    return [{ field: "", code: "DENO_PERMISSION", message, hint: PERMISSION_HINT, ...more }];
  }
  if (typeof code !== "string") return [internal(error.message, more)];
  const hinted = typeof hint === "string" ? { hint } : {};
  const about = typeof field === "string" ? field : "";
  return [{ field: about, code, message: error.message, ...hinted, ...more }];
}

function internal(message: string, more: Partial<ShownProblem>): ShownProblem {
  return { field: "", code: "INTERNAL_ERROR", message, hint: INTERNAL_HINT, ...more };
}

/** The lines for `problems`, in order, without a final line break. */
export function problemsText(problems: readonly ShownProblem[], style: ErrorStyle): string {
  if (style.json) return JSON.stringify({ errors: problems.map(problemJson) });
  return problems.map((problem) => problemLines(problem, style.verbose)).join("\n");
}

/** Writes `problems` to stderr; nothing when there are none. */
export function printProblems(problems: readonly ShownProblem[], style: ErrorStyle): void {
  if (problems.length > 0) writeError(problemsText(problems, style));
}

/** What machines read of a problem. */
export function problemJson(problem: Problem): Record<string, string> {
  const { code, message, hint, field } = problem;
  return {
    code,
    message: lowerFirst(message),
    ...(hint === undefined ? {} : { hint }),
    ...(field === "" ? {} : { field }),
  };
}

function problemLines(problem: ShownProblem, verbose: boolean): string {
  const lines = [`error: ${lowerFirst(problem.message)} [${problem.code}]`];
  if (problem.logTail !== undefined) {
    lines.push(...problem.logTail.split("\n").map((line) => `  | ${line}`));
  }
  if (problem.hint !== undefined) lines.push(`hint: ${problem.hint}`);
  if (verbose && problem.stack !== undefined) lines.push(sourceTrace(problem.stack));
  return lines.join("\n");
}

/** Only words lose their capital: `KVM_RUN failed` and `I/O` keep theirs. */
function lowerFirst(sentence: string): string {
  return /^[A-Z][a-z ]/.test(sentence)
    ? sentence.charAt(0).toLowerCase() + sentence.slice(1)
    : sentence;
}
