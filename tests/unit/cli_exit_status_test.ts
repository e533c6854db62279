import { assertEquals } from "../../src/std/assert.ts";
import { problemsText } from "../../src/cli/errors.ts";
import { machineOutcome, stopOutcome } from "../../src/cli/exit_status.ts";
import { reportOf } from "../../src/cli/report.ts";
import type { StopCause } from "../../src/cli/stop_request.ts";
import type { ExitReason, MachineExit } from "../../src/machine/exit.ts";

const FAILURES = [{ device: "block0", message: "Cannot write" }];
const EXITS = { mmio: 1, pio: 2, other: 3 };

function ended(reason: ExitReason, more: Partial<MachineExit> = {}): MachineExit {
  return { reason, exits: EXITS, ...more };
}

function codeOf(exit: MachineExit, cause?: StopCause, hasCommand = false): number {
  return machineOutcome(exit, cause, hasCommand).code;
}

Deno.test("a machine's end maps to the contract's exit status", () => {
  assertEquals(codeOf(ended("poweroff")), 0);
  assertEquals(codeOf(ended("reboot")), 0);
  assertEquals(codeOf(ended("exit-register", { status: 0 })), 0);
  assertEquals(codeOf(ended("exit-register", { status: 7 })), 7);
  assertEquals(codeOf(ended("exit-register", { status: 137 }), undefined, true), 137);
  assertEquals(codeOf(ended("panic")), 255);
  assertEquals(codeOf(ended("triple-fault")), 255);
  assertEquals(codeOf(ended("kvm-error")), 255);
  assertEquals(codeOf(ended("internal-error")), 125);
  assertEquals(codeOf(ended("stopped")), 0);
});

Deno.test("a stopped machine's status tells who stopped it", () => {
  const stopped = ended("stopped");
  assertEquals(codeOf(stopped, { kind: "quit" }), 0);
  assertEquals(codeOf(stopped, { kind: "output-closed" }), 141);
  assertEquals(codeOf(stopped, { kind: "timeout", limitMs: 5 }), 124);
  assertEquals(codeOf(stopped, { kind: "signal", signal: "SIGINT" }), 130);
  assertEquals(codeOf(stopped, { kind: "signal", signal: "SIGTERM" }), 143);
  assertEquals(codeOf(stopped, { kind: "signal", signal: "SIGHUP" }), 129);
});

Deno.test("a guest that ended by itself just before a stop keeps its own status", () => {
  const cause: StopCause = { kind: "timeout", limitMs: 5 };
  assertEquals(codeOf(ended("exit-register", { status: 3 }), cause, true), 3);
  assertEquals(codeOf(ended("panic"), cause), 255);
});

Deno.test("a clean end is no success for a command that has reported no status", () => {
  const outcome = machineOutcome(ended("poweroff"), undefined, true);
  assertEquals(outcome.code, 255);
  assertEquals(outcome.problems.map((problem) => problem.code), ["CMD_NO_STATUS"]);
});

Deno.test("a guest's death is one error line with detail and hint", () => {
  const exit = ended("panic", { detail: "Attempted to kill init!", hint: "look at init" });
  const { problems } = machineOutcome(exit, undefined, false);
  assertEquals(
    problemsText(problems, { json: false, verbose: false }),
    "error: guest kernel panicked: Attempted to kill init! [GUEST_PANIC]\nhint: look at init",
  );
  for (const reason of ["triple-fault", "kvm-error", "internal-error"] as const) {
    assertEquals(machineOutcome(ended(reason), undefined, false).problems.length, 1, reason);
  }
  for (const reason of ["poweroff", "reboot", "exit-register", "stopped"] as const) {
    assertEquals(machineOutcome(ended(reason), undefined, false).problems, [], reason);
  }
});

Deno.test("a time limit says so", () => {
  const text = (limitMs: number) =>
    problemsText(stopOutcome({ kind: "timeout", limitMs }).problems, {
      json: false,
      verbose: false,
    });
  assertEquals(
    text(30_000),
    "error: guest stopped: it did not end within 30s [TIMEOUT]\nhint: give it more time with --timeout",
  );
  assertEquals(text(1500).includes("within 1500ms"), true);
});

Deno.test("the report has every field, whatever happened", () => {
  const exit = ended("exit-register", { status: 3, bootMs: 1.5 });
  assertEquals(reportOf(machineOutcome(exit, undefined, true), 12.345, FAILURES), {
    reason: "exit-register",
    code: 3,
    signal: null,
    status: 3,
    detail: null,
    bootMs: 1.5,
    readyMs: null,
    elapsedMs: 12.3,
    exits: EXITS,
    backendFailures: FAILURES,
    errors: [],
  });
  const cause: StopCause = { kind: "signal", signal: "SIGTERM" };
  const stopped = reportOf(machineOutcome(ended("stopped"), cause, false), 1, []);
  assertEquals([stopped.reason, stopped.code, stopped.signal], ["signal", 143, "SIGTERM"]);
  const problems = [{ field: "--mem", code: "MEM_INVALID", message: "Cannot read", hint: "x" }];
  const failed = reportOf({ reason: "error", code: 125, problems }, 1, []);
  assertEquals(failed.errors, [
    { code: "MEM_INVALID", message: "cannot read", hint: "x", field: "--mem" },
  ]);
  assertEquals([failed.bootMs, failed.exits], [null, null]);
});
