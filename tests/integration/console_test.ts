/** The virtio console between the tiny guest and a process's stdin and stdout. */
import { assert, assertEquals, assertLessOrEqual } from "../../src/std/assert.ts";
import { CliProcess, runTinyCli, tinyArgs } from "../support/cli_process.ts";
import { firstDifference, generatedText } from "../support/disk_image.ts";
import { delay, kvmTest, SLOWNESS } from "../support/kvm.ts";

/** A second or two. */
const DISCARD_CYCLES = 5_000_000_000;
const FLOOD_BYTES = 4 * 2 ** 20;
/** More than a pipe and our own buffers hold: a guest that gets this out had its output thrown away. */
const STALL_MS = 1500;

/** The guest's result line goes to the serial port, which is silent once hvc0 has spoken. */
function assertFlood(stdout: Uint8Array, bytes: number): void {
  assertEquals(stdout.length, bytes);
  assertEquals(firstDifference(stdout, generatedText(bytes)), -1, "flood differs at");
}

kvmTest("text on hvc0 is all there is on stdout", async () => {
  const { code, stdout, stderr } = await runTinyCli("test=console");
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: "hello from hvc0\n", stderr: "" });
});

kvmTest("lines piped into stdin reach hvc0 in order and come back", async () => {
  const lines = Array.from({ length: 200 }, (_, i) => `line ${i}`);
  const { code, stdout } = await runTinyCli("test=console-echo", [], {
    stdin: [...lines, "quit", ""].join("\n"),
  });
  assertEquals(stdout, ["ready", ...lines.map((line) => `echo: ${line}`), ""].join("\n"));
  assertEquals(code, 0);
});

kvmTest("the virtio console alone also takes stdin and gives stdout", async () => {
  const args = ["--console", "virtio"];
  const { code, stdout } = await runTinyCli("test=console-echo", args, { stdin: "one\nquit\n" });
  // "ready" goes to the serial port, which is not connected to anything here.
  assertEquals({ code, stdout }, { code: 0, stdout: "echo: one\n" });
});

kvmTest(
  "input waits for a guest that throws away what comes before it reads the size",
  async () => {
    // Linux does, between DRIVER_OK and the moment its port is listed: seconds on a host short of processors.
    const words = `test=console-echo discard=${DISCARD_CYCLES}`;
    const { code, stdout } = await runTinyCli(words, ["--console", "virtio"], {
      stdin: "one\nquit\n",
      limitMs: 30_000 * SLOWNESS,
    });
    assertEquals({ code, stdout }, { code: 0, stdout: "echo: one\n" });
  },
);

for (const words of ["", " noevent", " noindirect", " noevent noindirect"]) {
  kvmTest(`4 MiB on hvc0 arrive whole${words === "" ? "" : `, with${words}`}`, async () => {
    const { code, stdoutBytes } = await runTinyCli(
      `test=console-flood bytes=${FLOOD_BYTES}${words}`,
    );
    assertEquals(code, 0);
    assertFlood(stdoutBytes, FLOOD_BYTES);
  });
}

kvmTest("a flood waits for a reader who stalled, without loss", async () => {
  const args = await tinyArgs(`test=console-flood bytes=${FLOOD_BYTES}`);
  await using cli = CliProcess.spawn(args, { stalled: true });
  await delay(STALL_MS);
  cli.readStdout();
  const { code, stdoutBytes } = await cli.ended;
  assertEquals(code, 0);
  assertFlood(stdoutBytes, FLOOD_BYTES);
});

kvmTest("what a guest wrote before it ended still goes to a slow reader", async () => {
  const bytes = 110_000; // 64 KiB in the pipe, the rest in our buffer
  const args = await tinyArgs(`test=console-flood bytes=${bytes}`);
  await using cli = CliProcess.spawn(args, { stalled: true });
  await delay(700); // the guest has ended, and our patience with the reader has not
  cli.readStdout();
  const { code, stdoutBytes } = await cli.ended;
  assertEquals(code, 0);
  assertFlood(stdoutBytes, bytes);
});

kvmTest("a machine whose output nobody takes can still be stopped", async () => {
  const args = await tinyArgs(`test=console-flood bytes=${FLOOD_BYTES}`);
  await using cli = CliProcess.spawn(args, { stalled: true });
  await delay(STALL_MS);
  const begin = performance.now();
  cli.kill("SIGTERM");
  const { code, stderr } = await cli.ended;
  assertEquals({ code, stderr }, { code: 143, stderr: "" });
  assertLessOrEqual(performance.now() - begin, 5000 * SLOWNESS);
});

kvmTest("a reader who leaves ends the run as SIGPIPE would", async () => {
  const args = await tinyArgs(`test=console-flood bytes=${FLOOD_BYTES}`);
  await using cli = CliProcess.spawn(args, { prefix: ["bash", "-c", HEAD_SCRIPT, "bash"] });
  const { stdout } = await cli.ended;
  assert(stdout.endsWith("status 141\n"), stdout);
});

/** Gives stdout a reader that takes one line. */
const HEAD_SCRIPT = `"$@" | head -n 1 >/dev/null; echo status "\${PIPESTATUS[0]}"`;
