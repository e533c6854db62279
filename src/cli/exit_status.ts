/** From the way a run ended to the status of this process, the error line and the report. Pure; the contract's table. */
import type { ExitReason, MachineExit } from "../machine/exit.ts";
import type { Problem } from "../virtio/device_kind.ts";
import type { ShownProblem } from "./errors.ts";
import type { StopCause, StopSignal } from "./stop_request.ts";

/** Time limit reached, as timeout(1). */
export const STATUS_TIMEOUT = 124;
/** Our error: usage, configuration, host. As docker. */
export const STATUS_ERROR = 125;
/** Nobody reads our output: 128 + SIGPIPE. */
export const STATUS_OUTPUT_CLOSED = 128 + 13;
/** The guest died without reporting, as virtme-ng. */
export const STATUS_GUEST_DIED = 255;

// asm-generic/signal.h
const SIGNAL_NUMBERS: Readonly<Record<StopSignal, number>> = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };

/** Why the run ended: the guest's reason, or who stopped it, or `error` when it never ran. */
export type OutcomeReason =
  | ExitReason
  | StopCause["kind"]
  /** Its command did. */
  | "exited"
  /** There was a guest, and the command could not be started in it. */
  | "not-started"
  /** The guest runs, but nobody in it hears us. */
  | "agent-gone"
  | "dry-run"
  | "error";

/** How a run ended. */
export interface Outcome {
  readonly reason: OutcomeReason;
  /** This process's exit status. */
  readonly code: number;
  /** What ended us, or the guest's command. */
  readonly signal?: Deno.Signal;
  /** Left out when no machine ran. */
  readonly exit?: MachineExit;
  /** From the start until a command could be run. */
  readonly readyMs?: number;
  /** What to print. */
  readonly problems: readonly ShownProblem[];
}

/** 128 + n. */
export function signalStatus(signal: StopSignal): number {
  return 128 + SIGNAL_NUMBERS[signal];
}

/**
 * What the end of a machine means. `cause` counts only when the machine was stopped: a guest that ended by itself
 * just before has its own status. With a command, a clean power-off is no success: its status never came.
 */
export function machineOutcome(
  exit: MachineExit,
  cause: StopCause | undefined,
  hasCommand: boolean,
): Outcome {
  if (exit.reason === "stopped" && cause !== undefined) return { ...stopOutcome(cause), exit };
  const code = machineStatus(exit, hasCommand);
  return { reason: exit.reason, code, exit, problems: deathProblems(exit, hasCommand) };
}

function machineStatus(exit: MachineExit, hasCommand: boolean): number {
  switch (exit.reason) {
    case "poweroff":
    case "reboot":
      return hasCommand ? STATUS_GUEST_DIED : 0;
    case "exit-register":
      return (exit.status ?? STATUS_GUEST_DIED) & 0xff;
    case "panic":
    case "triple-fault":
    case "kvm-error":
      return STATUS_GUEST_DIED;
    case "stopped":
      return 0;
    case "internal-error":
      return STATUS_ERROR;
  }
}

/** A run that was stopped from outside, perhaps before there was a machine. */
export function stopOutcome(cause: StopCause): Outcome {
  switch (cause.kind) {
    case "quit":
      return { reason: "quit", code: 0, problems: [] };
    case "output-closed":
      return { reason: "output-closed", code: STATUS_OUTPUT_CLOSED, problems: [] };
    case "timeout":
      return { reason: "timeout", code: STATUS_TIMEOUT, problems: [timeoutProblem(cause.limitMs)] };
    case "signal": {
      const { signal } = cause;
      return { reason: "signal", code: signalStatus(signal), signal, problems: [] };
    }
  }
}

function timeoutProblem(limitMs: number): Problem {
  const limit = limitMs % 1000 === 0 ? `${limitMs / 1000}s` : `${limitMs}ms`;
  return {
    field: "--timeout",
    code: "TIMEOUT",
    message: `Guest stopped: it did not end within ${limit}`,
    hint: "give it more time with --timeout",
  };
}

const DEATHS: Partial<Record<ExitReason, readonly [code: string, message: string]>> = {
  "panic": ["GUEST_PANIC", "Guest kernel panicked"],
  "triple-fault": ["GUEST_TRIPLE_FAULT", "Guest died of a triple fault"],
  "kvm-error": ["KVM_RUN_ERROR", "KVM cannot run the guest any further"],
  "internal-error": ["INTERNAL_ERROR", "A thread of the monitor died"],
};
const NO_STATUS = ["CMD_NO_STATUS", "Guest ended before its command reported a status"] as const;

function deathProblems(exit: MachineExit, hasCommand: boolean): readonly Problem[] {
  const ended = exit.reason === "poweroff" || exit.reason === "reboot";
  const death = ended && hasCommand ? NO_STATUS : DEATHS[exit.reason];
  if (death === undefined) return [];
  const [code, words] = death;
  const message = exit.detail === undefined ? words : `${words}: ${exit.detail}`;
  return [{ field: "", code, message, ...(exit.hint === undefined ? {} : { hint: exit.hint }) }];
}
