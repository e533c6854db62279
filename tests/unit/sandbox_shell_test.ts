/** Lines for the guest's shell: values are words, whatever is in them. */
import { CommandError } from "../../src/sandbox/errors.ts";
import { GuestOutput } from "../../src/sandbox/guest_output.ts";
import { ShellCommand, shellScript, type ShellSetup } from "../../src/sandbox/shell_command.ts";
import { commandStatus, signalNumber } from "../../src/sandbox/signals.ts";
import { assertEquals, assertRejects, assertThrows } from "../../src/std/assert.ts";

function script(strings: TemplateStringsArray, ...values: unknown[]): string {
  return shellScript(strings.raw, values);
}

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
