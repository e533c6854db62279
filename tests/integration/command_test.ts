/** `dinovisor run -- CMD` as a newcomer uses it: streams, signals, statuses and terminals of a command in the guest. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../src/std/assert.ts";
import { CliProcess, commandLine, runCli, shellWords } from "../support/cli_process.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { linuxTest } from "../support/kvm.ts";

/** A boot takes 6 to 20 s where KVM emulates ring 0. */
const BOOT_MS = 150_000;
const WAIT = { ms: BOOT_MS };
/** Of a process that is waited for while it runs. */
const LIMITS = { limitMs: 3 * BOOT_MS };

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

linuxTest(
  "bytes go through as they are, errors apart; the command is who and where it should be",
  async () => {
    using directory = new DiskDirectory();
    const bytes = Deno.readFileSync(directory.random("input", 2 ** 20, 31));
    const variables = `${directory.path}/variables`;
    Deno.writeTextFileSync(variables, "# mine\nA=file\nB=b  b\n");
    const report = `${directory.path}/report.json`;
    const script = 'cat; { id; pwd; echo "$HOME/$USER/$A/$B/$HERE"; tty; } >&2; exit 3';
    const { code, stdoutBytes, stderr } = await runCli([
      ...["run", "--report", report, "-e", "A=flag", "-e", "HERE", "--env-file", variables],
      ...["-w", "/tmp", "-u", "nobody", "--", "sh", "-c", script],
    ], { stdin: bytes, env: { HERE: "ours" }, limitMs: BOOT_MS });
    assertEquals(
      stderr,
      "uid=65534(nobody) gid=65534(nogroup) groups=65534(nogroup)\n/tmp\n" +
        "/tmp/nobody/flag/b  b/ours\nnot a tty\n",
    );
    assertEquals([code, stdoutBytes.length], [3, bytes.length]);
    assertEquals(await sha256(stdoutBytes), await sha256(bytes));
    const { reason, status, signal, readyMs, elapsedMs } = JSON.parse(
      Deno.readTextFileSync(report),
    );
    assertEquals([reason, status, signal], ["exited", 3, null]);
    assert(readyMs > 0 && readyMs < elapsedMs, `${readyMs} of ${elapsedMs}`);
  },
);

linuxTest(
  "a command that is not there is 127, one that is none 126, and -v shows the boot",
  async () => {
    const missing = await runCli(["run", "--", "nothing-here"], { limitMs: BOOT_MS });
    assertEquals([missing.code, missing.stdout], [127, ""]);
    assertEquals(
      missing.stderr,
      'error: cannot find "nothing-here" in the guest [COMMAND_NOT_FOUND]\n',
    );
    const none = await runCli(["run", "-v", "--", "/etc/passwd"], { limitMs: BOOT_MS });
    assertEquals([none.code, none.stdout], [126, ""]);
    assertStringIncludes(none.stderr, "Linux version ");
    assertStringIncludes(none.stderr, "[COMMAND_NOT_PROGRAM]");
  },
);

linuxTest("the first signal is the command's, the second ends the run", async () => {
  const script = "trap 'echo told' TERM; echo ready; while :; do sleep 1; done 2>/dev/null";
  await using cli = CliProcess.spawn(["run", "--", "sh", "-c", script], LIMITS);
  await cli.waitFor("ready\n", WAIT);
  cli.kill("SIGTERM");
  await cli.waitFor("told\n", WAIT);
  cli.kill("SIGTERM");
  const { code, stderr } = await cli.ended;
  assertEquals([code, stderr], [143, ""]);
});

linuxTest(
  "a command that is killed is 137; what it has left running does not keep us",
  async () => {
    const script = "sleep 1000 & (trap '' TERM; exec sleep 1000) & echo last words; kill -9 $$";
    const { code, stdout, stderr } = await runCli(["run", "--", "sh", "-c", script], {
      stdin: "open",
      limitMs: BOOT_MS,
    });
    assertEquals({ code, stdout, stderr }, { code: 137, stdout: "last words\n", stderr: "" });
  },
);

linuxTest("time is up for a command, too; what a dead guest said last is on stderr", async () => {
  const late = await runCli(["run", "--timeout", "1s", "--", "sleep", "1000"]);
  assertEquals(late.code, 124);
  assertStringIncludes(late.stderr, "[TIMEOUT]");
  const dead = await runCli(["run", "--cmdline", "init=/nothing", "--", "true"], {
    limitMs: BOOT_MS,
  });
  assertEquals([dead.code, dead.stdout], [255, ""]);
  assertMatch(dead.stderr, /^error: guest kernel panicked: .*\[GUEST_PANIC\]\n(?: {2}\| .*\n)+/);
});

linuxTest(
  "a reader that goes away ends it all in quiet; a closed stdin is at its end",
  async () => {
    using directory = new DiskDirectory();
    const code = `${directory.path}/code`;
    const run = shellWords(commandLine(["run", "--", "sh", "-c", "cat; yes"]));
    const { stdout, stderr } = await new Deno.Command("sh", {
      args: ["-c", `{ ${run} <&-; echo $? > ${code}; } | head -n 1`],
      env: { NO_COLOR: "1" },
    }).output();
    const decoder = new TextDecoder();
    assertEquals([decoder.decode(stdout), decoder.decode(stderr)], ["y\n", ""]);
    assertEquals(Deno.readTextFileSync(code), "141\n");
  },
);

linuxTest(
  "on a terminal a command has its own, with our size and our keys, and ours is put back",
  async () => {
    const script = "tty; stty size; echo TERM=$TERM; trap 'echo size $(stty size)' WINCH; " +
      "trap 'echo interrupted' INT; echo ready; " +
      // A signal ends the read, not the loop.
      'while :; do read -r line && echo "<$line>"; [ "$line" = end ] && exit 4; done';
    const run = shellWords(commandLine(["run", "--", "sh", "-c", script]));
    await using cli = CliProcess.onTerminal(
      `tty; stty cols 91 rows 33; echo before=$(stty -g); ${run}; echo status $?; echo after=$(stty -g)`,
      { ...LIMITS, env: { TERM: "vt220" } },
    );
    await cli.waitFor("ready\r\n", WAIT);
    assertMatch(cli.stdout, /\/dev\/pts\/0\r+\n33 91\r+\nTERM=vt220\r+\n/);
    const tty = /\/dev\/\S+/.exec(cli.stdout)?.[0] ?? "";
    const settings = await new Deno.Command("stty", { args: ["-F", tty, "-a"] }).output();
    assertMatch(new TextDecoder().decode(settings.stdout), /-icanon/);
    await new Deno.Command("stty", { args: ["-F", tty, "cols", "120", "rows", "50"] }).output();
    await cli.waitFor("size 50 120", WAIT);
    await cli.write("\x03");
    await cli.waitFor("interrupted", WAIT);
    await cli.write("a\x1d?b\x1d\x1dc\nend\n");
    const { stdout } = await cli.ended;
    assertStringIncludes(stdout, "<ab\x1dc>");
    assertStringIncludes(stdout, "send Ctrl-] to the guest");
    assertMatch(stdout, /status 4\r/);
    const before = /before=(\S+)/.exec(stdout)?.[1];
    assertEquals(/after=(\S+)/.exec(stdout)?.[1], before, stdout);
  },
);
