/** The console on a terminal (`script` makes one): keys, window size, and the terminal as it was afterwards. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../src/std/assert.ts";
import { CliProcess, commandLine, shellWords, tinyArgs } from "../support/cli_process.ts";
import { delay, kvmTest, SLOWNESS, until } from "../support/kvm.ts";

const ESCAPE = "\x1d";

/** Runs the tiny guest on a terminal, between two looks at the terminal's settings. */
async function onTerminal(words: string, args: readonly string[] = []): Promise<CliProcess> {
  const run = shellWords(commandLine(await tinyArgs(words, args)));
  const child = `sh -c 'echo "pid $$"; exec "$@"' sh ${run}`;
  return CliProcess.onTerminal(
    `tty; stty cols 91 rows 33; echo before=$(stty -g); ${child}; echo status $?; echo after=$(stty -g)`,
  );
}

function withoutReturns(text: string): string {
  return text.replaceAll("\r", "");
}

interface Seen {
  readonly stdout: string;
  readonly status: number;
}

/** Waits for the end; the terminal's settings must be as before. */
async function ended(cli: CliProcess): Promise<Seen> {
  const { stdout } = await cli.ended;
  const before = /before=(\S+)/.exec(stdout)?.[1];
  assert(before !== undefined, stdout);
  assertEquals(/after=(\S+)/.exec(stdout)?.[1], before, stdout);
  return { stdout, status: Number(/status (\d+)/.exec(stdout)?.[1]) };
}

function pidOf(cli: CliProcess): number {
  return Number(/pid (\d+)/.exec(cli.stdout)?.[1]);
}

/** The settings now, seen from outside. */
async function settings(cli: CliProcess): Promise<string> {
  const tty = /\/dev\/\S+/.exec(cli.stdout)?.[0] ?? "";
  const { stdout } = await new Deno.Command("stty", { args: ["-F", tty, "-a"] }).output();
  return new TextDecoder().decode(stdout);
}

kvmTest("the terminal is raw while the guest has it; Ctrl-] q quits and puts it back", async () => {
  await using cli = await onTerminal("test=serial-echo");
  await cli.waitFor("ready");
  assertStringIncludes(cli.stdout, "console: Ctrl-] then ? for help, q to quit");
  assertMatch(await settings(cli), /-isig -icanon/);
  assertMatch(await settings(cli), /-echo /);
  await cli.write(`${ESCAPE}q`);
  const { status } = await ended(cli);
  assertEquals(status, 0);
});

kvmTest("line feeds of the guest stay line feeds: full-screen programs mean them so", async () => {
  await using cli = await onTerminal("test=serial-echo");
  await cli.waitFor("ready");
  assertMatch(await settings(cli), /-opost/);
  await cli.write(`${ESCAPE}q`);
  await ended(cli);
});

kvmTest(
  "keys reach the guest at once, Ctrl-C among them, and are echoed by nobody else",
  async () => {
    await using cli = await onTerminal("test=serial-irq");
    await cli.waitFor("ready");
    const from = cli.stdout.length;
    await cli.write("x\x03\x04");
    await cli.waitFor("\x04", { from });
    await cli.write("\nquit\n");
    const { stdout, status } = await ended(cli);
    assertEquals(status, 0);
    assertStringIncludes(stdout, "ready");
    assertStringIncludes(withoutReturns(stdout.slice(from)), "x\x03\x04\nquit\n");
  },
);

kvmTest("Ctrl-] ? shows help and sends nothing; Ctrl-] twice sends one", async () => {
  await using cli = await onTerminal("test=serial-echo");
  await cli.waitFor("ready");
  await cli.write(`a${ESCAPE}?`);
  await cli.waitFor("send Ctrl-] to the guest");
  // The terminal is raw: without a carriage return the lines would form stairs.
  assertMatch(cli.stdout, /quit: stop the guest\r+\n/);
  const from = cli.stdout.length;
  await cli.write(`b${ESCAPE}${ESCAPE}c\n`);
  await cli.waitFor("echo: ", { from });
  await cli.waitFor(`ab${ESCAPE}c`, { from });
  await cli.write("quit\n");
  assertEquals((await ended(cli)).status, 0);
});

kvmTest("Ctrl-] p in a machine without a power button says so, and the guest goes on", async () => {
  await using cli = await onTerminal("test=serial-echo");
  await cli.waitFor("ready");
  await cli.write(`a${ESCAPE}p`);
  await cli.waitFor("[NO_POWER_BUTTON]");
  const from = cli.stdout.length;
  await cli.write("b\n");
  await cli.waitFor("echo: ab", { from });
  await cli.write("quit\n");
  assertEquals((await ended(cli)).status, 0);
});

kvmTest("an escape that is followed by another key sends neither", async () => {
  await using cli = await onTerminal("test=console-echo");
  await cli.waitFor("ready");
  await cli.write(`a${ESCAPE}xb\n`);
  await cli.waitFor("echo: ab");
  await cli.write("quit\n");
  assertEquals((await ended(cli)).status, 0);
});

for (const [signal, code] of [["SIGTERM", 143], ["SIGINT", 130], ["SIGHUP", 129]] as const) {
  kvmTest(`${signal} puts the terminal back`, async () => {
    await using cli = await onTerminal("test=serial end=spin");
    await cli.waitFor("hello");
    assertMatch(await settings(cli), /-icanon/);
    Deno.kill(pidOf(cli), signal);
    assertEquals((await ended(cli)).status, code);
  });
}

kvmTest("a time limit, a dead guest and its exit put the terminal back", async () => {
  for (
    const [words, args, code] of [
      ["test=idle end=spin", ["--timeout", "400ms"], 124],
      ["test=idle end=triple-full", [], 255],
      ["test=serial", [], 0],
    ] as const
  ) {
    await using cli = await onTerminal(words, args);
    assertEquals((await ended(cli)).status, code);
  }
});

kvmTest("the guest sees the window's size, and each change of it", async () => {
  await using cli = await onTerminal("test=console-size count=99", ["--console", "auto"]);
  await cli.waitFor("size 91x33");
  const tty = /\/dev\/\S+/.exec(cli.stdout)?.[0] ?? "";
  for (const [columns, rows] of [["120", "50"], ["80", "25"]] as const) {
    await new Deno.Command("stty", { args: ["-F", tty, "cols", columns, "rows", rows] }).output();
    await cli.waitFor(`size ${columns}x${rows}`);
  }
  await cli.write(`${ESCAPE}q`);
  assertEquals((await ended(cli)).status, 0);
});

kvmTest(
  "output is written as the guest sends it, and a stopped terminal loses nothing",
  async () => {
    await using cli = await onTerminal("test=serial raw bytes=30000");
    const { stdout } = await ended(cli);
    const lines = stdout.split("\n").filter((line) => /^[A-Z]{63}\r?$/.test(line));
    assertEquals(lines.length, Math.floor(30000 / 64));
  },
);

kvmTest(
  "a SIGCONT without a stop, as timeout(1) sends it, does not make raw what it was before",
  async () => {
    await using cli = await onTerminal("test=serial-echo");
    await cli.waitFor("ready");
    Deno.kill(pidOf(cli), "SIGCONT");
    await delay(300 * SLOWNESS); // until it has been heard
    await cli.write(`${ESCAPE}q`);
    assertEquals((await ended(cli)).status, 0);
  },
);

kvmTest("raw mode comes back after a stop from outside and fg", async () => {
  await using cli = await onTerminal("test=serial-echo");
  await cli.waitFor("ready");
  Deno.kill(pidOf(cli), "SIGSTOP");
  const tty = /\/dev\/\S+/.exec(cli.stdout)?.[0] ?? "";
  await new Deno.Command("stty", { args: ["-F", tty, "sane"] }).output();
  Deno.kill(pidOf(cli), "SIGCONT");
  await until("raw again", async () => /-icanon/.test(await settings(cli)));
  await cli.write(`${ESCAPE}q`);
  assertEquals((await cli.ended).stdout.includes("status 0"), true);
});
