/** Lines for the guest's shell: values are words, whatever is in them. */
import { CommandError } from "../../src/sandbox/errors.ts";
import { GuestOutput } from "../../src/sandbox/guest_output.ts";
import { ShellCommand, shellScript, type ShellSetup } from "../../src/sandbox/shell_command.ts";
import { commandStatus, signalNumber } from "../../src/sandbox/signals.ts";
import { assertEquals, assertRejects, assertThrows } from "../../src/std/assert.ts";

function script(strings: TemplateStringsArray, ...values: unknown[]): string {
  return shellScript(strings.raw, values);
}

/** The words a shell makes of `line`. */
async function shellWords(line: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", `for word in ${line}; do printf '%s\\0' "$word"; done`],
  }).output();
  return new TextDecoder().decode(stdout).split("\0").slice(0, -1);
}

const ODD = [
  "",
  " ",
  "a b",
  "it's",
  '"',
  "$HOME",
  "`id`",
  "*",
  "a\nb",
  "\\",
  "-n",
  "ä",
  "'\\''",
  "~",
];

Deno.test("each value is one word to a shell, an array several", async () => {
  for (const value of ODD) assertEquals(await shellWords(script`${value}`), [value]);
  assertEquals(await shellWords(script`${ODD}`), ODD);
  assertEquals(await shellWords(script`${1} ${2n} ${true} ${[]} x`), ["1", "2", "true", "x"]);
});

Deno.test("the line itself is the shell's, backslashes too", () => {
  assertEquals(script`printf 'a\n' | wc -l > ${"/tmp/x y"}`, "printf 'a\\n' | wc -l > '/tmp/x y'");
});

Deno.test("what has no text is refused", () => {
  for (const value of [undefined, null, {}, Symbol("x"), () => 1, [{}]]) {
    assertThrows(() => script`${value}`, Error, "Cannot make a shell word of");
  }
});

function command(code: number, stdout: string, stderr = ""): [ShellCommand, ShellSetup[]] {
  const runs: ShellSetup[] = [];
  const encoder = new TextEncoder();
  const run = (setup: ShellSetup) => {
    runs.push(setup);
    const status = commandStatus(code, 0);
    return Promise.resolve(
      new GuestOutput("it", status, encoder.encode(stdout), encoder.encode(stderr)),
    );
  };
  return [new ShellCommand({ script: "it", throws: true }, run), runs];
}

Deno.test("it runs once, when it is awaited", async () => {
  const [lines, runs] = command(0, "a\nb\r\nc\n");
  assertEquals(runs.length, 0);
  assertEquals(await lines.lines(), ["a", "b", "c"]);
  assertEquals(await lines.text(), "a\nb\r\nc\n");
  assertEquals(runs.length, 1);
  assertEquals(await command(0, "")[0].lines(), []);
  assertEquals(await command(0, '{"a":1}')[0].json(), { a: 1 });
});

Deno.test("a status other than 0 throws, unless it is asked for", async () => {
  const error = await assertRejects(async () => await command(3, "", "x\ny\n")[0], CommandError);
  assertEquals(error.message, 'Command "it" ended with status 3:\nx\ny');
  assertEquals([error.code, error.output.code], ["COMMAND_FAILED", 3]);
  assertEquals(await command(3, "")[0].code(), 3);
  assertEquals((await command(3, "")[0].noThrow()).success, false);
});

Deno.test("cwd and signal are part of the run", async () => {
  const [shell, runs] = command(0, "");
  const { signal } = new AbortController();
  await shell.cwd("/tmp").signal(signal);
  assertEquals(runs, [{ script: "it", throws: true, cwd: "/tmp", signal }]);
});

Deno.test("signals have Linux's numbers", () => {
  const known: Deno.Signal[] = ["SIGHUP", "SIGKILL", "SIGTERM", "SIGSYS"];
  assertEquals(known.map(signalNumber), [1, 9, 15, 31]);
  assertEquals(commandStatus(0, 9), { success: false, code: 137, signal: "SIGKILL" });
  assertEquals(commandStatus(0, 40), { success: false, code: 168, signal: null });
  assertEquals(commandStatus(5, 0), { success: false, code: 5, signal: null });
});
