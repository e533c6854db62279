/** From the way a command in the guest ended to how the run did. Pure; the contract's table. */
import type { MachineExit } from "../machine/exit.ts";
import { problemsOf, type ShownProblem } from "./errors.ts";
import { machineOutcome, type Outcome, STATUS_ERROR, STATUS_GUEST_DIED } from "./exit_status.ts";
import type { StopCause } from "./stop_request.ts";

/** What is known when the machine has ended. */
export interface CommandEnd {
  readonly exit: MachineExit;
  /** Who stopped the machine, if anybody did. */
  readonly cause: StopCause | undefined;
  /** How the command ended; undefined when nobody has heard of it. */
  readonly status: Deno.CommandStatus | undefined;
  /** What went wrong before that. */
  readonly error: unknown;
  /** What the guest's console showed last; "" where it has been seen. */
  readonly consoleTail: string;
}

/** As docker: not found, and found but not to be executed. */
const START_STATUS: Readonly<Record<string, number>> = {
  COMMAND_NOT_FOUND: 127,
  COMMAND_NOT_PROGRAM: 126,
  COMMAND_FAILED_TO_START: 126,
};
/** Ctrl-] q: what the plug does to a command is what SIGKILL does. */
const STATUS_KILLED = 137;
const SHOWN_LINES = 20;

/** What the end of a command means. Whoever stopped the machine, or killed the guest, counts before the command. */
export function commandOutcome(
  { exit, cause, status, error, consoleTail }: CommandEnd,
): Outcome {
  const isStopped = exit.reason === "stopped";
  if (isStopped && cause !== undefined) {
    const outcome = machineOutcome(exit, cause, true);
    return cause.kind === "quit" ? { ...outcome, code: STATUS_KILLED } : outcome;
  }
  if (isStopped && status === undefined) return failureOutcome(error, exit, consoleTail);
  if ((isStopped || isSwitchedOff(exit)) && status !== undefined) {
    const { code, signal } = status;
    return { reason: "exited", code, exit, problems: [], ...(signal === null ? {} : { signal }) };
  }
  const isRegister = exit.reason === "exit-register" && isSwitchedOff(exit);
  const end = isRegister ? { ...exit, reason: "poweroff" as const } : exit;
  const outcome = machineOutcome(end, cause, true);
  return outcome.code === STATUS_GUEST_DIED ? withTail(outcome, consoleTail) : outcome;
}

/** In order. A kernel of ours does it by its exit register (0002-exit-register.patch). */
function isSwitchedOff({ reason, status }: MachineExit): boolean {
  return reason === "poweroff" || reason === "reboot" ||
    (reason === "exit-register" && status === 0);
}

/** The machine was stopped because there was nothing left to do in it. */
function failureOutcome(error: unknown, exit: MachineExit, consoleTail: string): Outcome {
  const problems = problemsOf(error);
  const [code = ""] = problems.map((problem) => problem.code);
  if (code === "AGENT_GONE") {
    const lost: Outcome = { reason: "agent-gone", code: STATUS_GUEST_DIED, exit, problems };
    return withTail(lost, consoleTail);
  }
  return { reason: "not-started", code: START_STATUS[code] ?? STATUS_ERROR, exit, problems };
}

/** The last lines of the console below the first error line. The guest wrote them: nothing but text gets through. */
function withTail(outcome: Outcome, consoleTail: string): Outcome {
  // deno-lint-ignore no-control-regex
  const text = consoleTail.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replace(
    /[^\t\n\x20-\x7e\xa0-\uffff]/g,
    "",
  );
  const logTail = text.trimEnd().split("\n").slice(-SHOWN_LINES).join("\n");
  const [first, ...others] = outcome.problems;
  if (first === undefined || logTail === "") return outcome;
  const shown: ShownProblem = { ...first, logTail };
  return { ...outcome, problems: [shown, ...others] };
}
