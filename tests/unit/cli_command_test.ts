/** What `dinovisor run -- CMD` makes of its variables, its streams and the command's end. */
import { readEnvironment } from "../../src/cli/command_environment.ts";
import { type CommandEnd, commandOutcome } from "../../src/cli/command_outcome.ts";
import { commandStreams, outputTo } from "../../src/cli/command_streams.ts";
import { reportOf } from "../../src/cli/report.ts";
import type { ExitReason } from "../../src/machine/exit.ts";
import { VmError } from "../../src/sandbox/errors.ts";
import { assertEquals, assertRejects } from "../../src/std/assert.ts";

const FILES: Readonly<Record<string, string>> = {
  "one": "# of docker's kind\n\nA=file\n  B= x # y \r\nHERE\nABSENT\n",
  "bad": "=x\nA=1\n",
};
const HOST = {
  readTextFile(path: string): string {
    const text = FILES[path];
    if (text === undefined) throw new Deno.errors.NotFound(path);
    return text;
  },
  variable: (name: string) => name === "HERE" ? "ours" : undefined,
};

Deno.test("variables come from files, then from flags, then from here", () => {
  const { env, problems } = readEnvironment(
    { env: ["A=flag", "C=a=b", "D=", "HERE", "ABSENT"], envFiles: ["one"] },
    HOST,
  );
  assertEquals(problems, []);
  assertEquals(env, { A: "flag", B: " x # y ", HERE: "ours", C: "a=b", D: "" });
});

Deno.test("variables without a name, and files that are not there, are all said", () => {
  const { env, problems } = readEnvironment({ env: ["=1", ""], envFiles: ["bad", "none"] }, HOST);
  assertEquals(env, { A: "1" });
  assertEquals(problems.map(({ field, code, message }) => [field, code, message]), [
    ["--env-file", "ENV_INVALID", 'Cannot read line 1 of "bad": "=x" has no name'],
    ["--env-file", "ENV_FILE", 'Cannot read --env-file "none": there is no such file'],
    ["--env", "ENV_INVALID", 'Cannot set variable "=1": it has no name'],
    ["--env", "ENV_INVALID", 'Cannot set variable "": it has no name'],
  ]);
});

Deno.test("a command has a terminal where a person sits at both ends of ours", () => {
  const of = (flags: { tty?: boolean; interactive?: boolean }, stdin: boolean, stdout: boolean) => {
    const { tty, input, raw } = commandStreams(
      { interactive: false, ...flags },
      { stdinIsTerminal: stdin, stdoutIsTerminal: stdout },
    );
    return [tty && "tty", input && "input", raw && "raw"].filter((word) => word !== false).join(
      " ",
    );
  };
  assertEquals(of({}, true, true), "tty input raw");
  assertEquals(of({}, false, true), "input");
  assertEquals(of({}, false, false), "input");
  assertEquals(of({}, true, false), ""); // the keys are for whoever reads our output
  assertEquals(of({ interactive: true }, true, false), "input");
  assertEquals(of({ tty: false }, true, true), "");
  assertEquals(of({ tty: false, interactive: true }, true, true), "input");
  assertEquals(of({ tty: true }, true, false), "tty input raw");
  assertEquals(of({ tty: true }, false, false), "tty input");
});

Deno.test("a stream that somebody has made non-blocking is written again, a closed one is told of", async () => {
  const fates: (Error | number)[] = [new Deno.errors.WouldBlock(), 3, new Deno.errors.BrokenPipe()];
  let told = 0;
  const { write } = outputTo({
    write: () => {
      const fate = fates.shift() ?? 0;
      return typeof fate === "number" ? Promise.resolve(fate) : Promise.reject(fate);
    },
  }, () => told++);
  assertEquals([await write(new Uint8Array(9)), told], [3, 0]);
  await assertRejects(() => write(new Uint8Array(9)), Deno.errors.BrokenPipe);
  assertEquals(told, 1);
});

function outcomeOf(reason: ExitReason, end: Partial<CommandEnd> = {}, status?: number) {
  return commandOutcome({
    exit: {
      reason,
      exits: { mmio: 0, pio: 0, other: 0 },
      ...(status === undefined ? {} : { status }),
    },
    cause: undefined,
    status: undefined,
    error: undefined,
    consoleTail: "",
    ...end,
  });
}

const SEVEN = { success: false, code: 7, signal: null } as const;

Deno.test("a command's status is the run's, however the guest has switched itself off", () => {
  for (const [reason, byte] of [["poweroff"], ["reboot"], ["exit-register", 0]] as const) {
    const outcome = outcomeOf(reason, { status: SEVEN }, byte);
    assertEquals([outcome.reason, outcome.code, outcome.problems], ["exited", 7, []]);
  }
  const killed = outcomeOf("poweroff", {
    status: { success: false, code: 137, signal: "SIGKILL" },
  });
  const { reason, code, signal, status } = reportOf(killed, 1, []);
  assertEquals({ reason, code, signal, status }, {
    reason: "exited",
    code: 137,
    signal: "SIGKILL",
    status: null,
  });
  assertEquals(reportOf(outcomeOf("exit-register", { status: SEVEN }, 0), 1, []).status, 7);
});

Deno.test("whoever stops the machine counts before its command, and so does its death", () => {
  const limit = { kind: "timeout", limitMs: 5 } as const;
  assertEquals(outcomeOf("stopped", { cause: limit, status: SEVEN }).code, 124);
  assertEquals(outcomeOf("poweroff", { cause: limit, status: SEVEN }).code, 7);
  const twice = { kind: "signal", signal: "SIGTERM" } as const;
  assertEquals(outcomeOf("stopped", { cause: twice }).code, 143);
  assertEquals(outcomeOf("stopped", { cause: { kind: "quit" } }).code, 137);
  assertEquals(outcomeOf("panic", { status: SEVEN }).code, 255);
  assertEquals(outcomeOf("internal-error", { status: SEVEN }).code, 125);
});

Deno.test("a command that was not started is not one that has failed", () => {
  const failed = (code: string) => {
    const outcome = outcomeOf("stopped", { error: new VmError("Cannot", code) });
    return [outcome.reason, outcome.code, outcome.problems[0]?.code];
  };
  assertEquals(failed("COMMAND_NOT_FOUND"), ["not-started", 127, "COMMAND_NOT_FOUND"]);
  assertEquals(failed("COMMAND_NOT_PROGRAM"), ["not-started", 126, "COMMAND_NOT_PROGRAM"]);
  assertEquals(failed("COMMAND_FAILED_TO_START"), ["not-started", 126, "COMMAND_FAILED_TO_START"]);
  assertEquals(failed("USER_NOT_FOUND"), ["not-started", 125, "USER_NOT_FOUND"]);
  assertEquals(failed("AGENT_GONE"), ["agent-gone", 255, "AGENT_GONE"]);
});

Deno.test("a dead guest's console is shown as text, its last lines", () => {
  const lines = Array.from({ length: 30 }, (_, i) => `line ${i}`);
  const consoleTail = `${lines.join("\r\n")}\r\n\x1b[31mred\x1b]0;title\x07\x9b2J\r\n\n`;
  const { code, problems } = outcomeOf("panic", { consoleTail });
  const [{ logTail = "" } = {}] = problems as readonly { readonly logTail?: string }[];
  assertEquals([code, logTail.split("\n").length], [255, 20]);
  assertEquals(logTail.split("\n").slice(-2), ["line 29", "red]0;title2J"]);
  for (const [reason, byte] of [["exit-register", 0], ["reboot"]] as const) {
    const ended = outcomeOf(reason, {}, byte);
    const said = byte === undefined ? reason : "poweroff";
    assertEquals([ended.reason, ended.code, ended.problems[0]?.code], [said, 255, "CMD_NO_STATUS"]);
  }
  assertEquals(outcomeOf("poweroff", { consoleTail: "x" }).problems[0], {
    field: "",
    code: "CMD_NO_STATUS",
    message: "Guest ended before its command reported a status",
    logTail: "x",
  } as never);
});
