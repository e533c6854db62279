/** The serial port between the tiny guest and a process's stdin and stdout. */
import { assertEquals } from "../../src/std/assert.ts";
import { CliProcess, runTinyCli, tinyArgs } from "../support/cli_process.ts";
import { firstDifference, generatedText } from "../support/disk_image.ts";
import { delay, kvmTest } from "../support/kvm.ts";

const HELLO = "hello from the tiny guest\n";
const BYTES = 20_000;

function assertGenerated(stdout: Uint8Array, bytes: number): void {
  const expected = generatedText(bytes);
  assertEquals(firstDifference(stdout.subarray(HELLO.length), expected), -1, "text differs at");
}

kvmTest("a guest's serial text is all there is on stdout", async () => {
  const { code, stdout, stderr } = await runTinyCli("test=serial");
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: HELLO, stderr: "" });
});

kvmTest("20 000 bytes written without looking at the line status arrive whole", async () => {
  const { stdout, stdoutBytes } = await runTinyCli(`test=serial raw bytes=${BYTES}`);
  assertEquals(stdout.slice(0, HELLO.length), HELLO);
  assertGenerated(stdoutBytes, BYTES);
});

kvmTest("20 000 bytes written by a driver that polls arrive whole", async () => {
  assertGenerated((await runTinyCli(`test=serial bytes=${BYTES}`)).stdoutBytes, BYTES);
});

kvmTest("raw serial output waits for a reader who stalled, without loss", async () => {
  const bytes = 160_000; // more than the buffers on the way hold: 64 KiB in the pipe and 80 KiB of ours
  const args = await tinyArgs(`test=serial raw bytes=${bytes}`);
  await using cli = CliProcess.spawn(args, { stalled: true });
  await delay(7000); // at 30 µs a byte all of them are full by then
  cli.readStdout();
  const { code, stdoutBytes } = await cli.ended;
  assertEquals(code, 0);
  assertGenerated(stdoutBytes, bytes);
});

kvmTest("lines piped into stdin reach a polling serial driver in order", async () => {
  const lines = Array.from({ length: 300 }, (_, i) => `line ${i}`);
  const { code, stdout } = await runTinyCli("test=serial-echo", [], {
    stdin: [...lines, "quit", ""].join("\n"),
  });
  assertEquals(stdout, ["ready", ...lines.map((line) => `echo: ${line}`), ""].join("\n"));
  assertEquals(code, 0);
});

kvmTest(
  "a line longer than the port's buffer reaches a driver that stays silent meanwhile",
  async () => {
    // The guest keeps a line's first characters only, but has to read all of them to find its end.
    const stdin = `${"x".repeat(20_000)}\nafter\nquit\n`;
    const { code, stdout } = await runTinyCli("test=serial-echo", ["--timeout", "20s"], { stdin });
    assertEquals(code, 0);
    assertEquals(stdout.split("\n").slice(2), ["echo: after", ""]);
  },
);

kvmTest("bytes typed one by one reach a serial driver that sleeps until an interrupt", async () => {
  await using cli = CliProcess.spawn(await tinyArgs("test=serial-irq"), { stdin: "open" });
  await cli.waitFor("ready\n");
  for (const byte of "ab\nquit") {
    const from = cli.stdout.length;
    await cli.write(byte);
    await cli.waitFor(byte, { from });
  }
  await cli.write("\n");
  const { code, stdout } = await cli.ended;
  assertEquals({ code, stdout }, { code: 0, stdout: "ready\nab\nquit\n" });
});

kvmTest("a guest that does not read leaves stdin alone and ends when it wants to", async () => {
  const { code, stdout } = await runTinyCli("test=serial status=0", [], {
    stdin: new Uint8Array(1_000_000).fill(65),
  });
  assertEquals({ code, stdout }, { code: 0, stdout: HELLO });
});
