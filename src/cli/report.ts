/** `--report FILE.json`: how a run ended, for scripts. Written whatever happens. */
import type { BackendFailure } from "../machine/machine_options.ts";
import type { Problem } from "../virtio/device_kind.ts";
import { problemJson } from "./errors.ts";
import type { Outcome } from "./exit_status.ts";

/** The file's content. Fields are never left out: what is not known is null. */
export interface Report {
  readonly reason: string;
  /** This process's exit status. */
  readonly code: number;
  /** The signal that ended the run, or the guest's command. */
  readonly signal: string | null;
  /** What the guest wrote to its exit register, or the exit status of its command. */
  readonly status: number | null;
  readonly detail: string | null;
  /** From start to the guest's first instruction. */
  readonly bootMs: number | null;
  /** From start until the guest could run a command; null without one. */
  readonly readyMs: number | null;
  /** The whole run. */
  readonly elapsedMs: number;
  readonly exits: { readonly mmio: number; readonly pio: number; readonly other: number } | null;
  /** What the host refused devices while the guest ran. */
  readonly backendFailures: readonly BackendFailure[];
  readonly errors: readonly Record<string, string>[];
}

/** What `outcome` looks like in the file. */
export function reportOf(
  outcome: Outcome,
  elapsedMs: number,
  backendFailures: readonly BackendFailure[],
): Report {
  const { reason, code, signal, exit, problems } = outcome;
  return {
    reason,
    code,
    signal: signal ?? null,
    status: (reason === "exited" ? statusOf(outcome) : exit?.status) ?? null,
    detail: exit?.detail ?? null,
    bootMs: exit?.bootMs ?? null,
    readyMs: outcome.readyMs ?? null,
    elapsedMs: Math.round(elapsedMs * 10) / 10,
    exits: exit?.exits ?? null,
    backendFailures,
    errors: problems.map(problemJson),
  };
}

/** A command that a signal has ended has none. */
function statusOf({ code, signal }: Outcome): number | undefined {
  return signal === undefined ? code : undefined;
}

/** What would keep the report from being written, found before the run. */
export function reportProblems(path: string): readonly Problem[] {
  const slash = path.lastIndexOf("/");
  const folder = slash === -1 ? "." : path.slice(0, slash) || "/";
  if (isDirectory(path) === true) {
    const message = `Cannot write report "${path}": it is a directory`;
    return [problem(message, `name a file: --report ${path.replace(/\/$/, "")}/report.json`)];
  }
  if (isDirectory(folder) === true) return [];
  return [
    problem(`Cannot write report "${path}": there is no folder "${folder}"`, "make it first"),
  ];
}

/** Writes the file; returns what went wrong. */
export function writeReport(path: string, report: Report): readonly Problem[] {
  try {
    Deno.writeTextFileSync(path, `${JSON.stringify(report, undefined, 2)}\n`);
    return [];
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    return [problem(`Cannot write report "${path}": ${words}`, "name a file you may write")];
  }
}

function problem(message: string, hint: string): Problem {
  return { field: "--report", code: "REPORT_WRITE", message, hint };
}

function isDirectory(path: string): boolean | undefined {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return undefined;
  }
}
