/** Programs of the host that a machine starts. */
import { assertEquals } from "../../src/std/assert.ts";
import { O_RDWR } from "../../src/abi/linux.ts";
import { Child } from "../../src/sys/child.ts";
import { openFile } from "../../src/sys/fd.ts";
import { until } from "../support/kvm.ts";

const SCRIPT = "readlink /proc/self/fd/0 /proc/self/fd/3; pwd >&2";

/** Starts a child whose socket is /dev/zero; what it has written into `path`. */
async function outputOf(path: string): Promise<string> {
  using log = openFile(path, O_RDWR);
  using socket = openFile("/dev/zero", O_RDWR);
  using child = new Child(["sh", "-c", SCRIPT], socket.number, log.number);
  await until("the child has ended", () => child.ended);
  return await Deno.readTextFile(path);
}

// As a process of its own, since the stdin of tests may be /dev/null anyway.
Deno.test("a child has its socket as descriptor 3, its output in the log, and not our stdin", async () => {
  const path = await Deno.makeTempFile();
  try {
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", import.meta.filename ?? "", path],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    });
    await using process = command.spawn();
    const { stdout } = await process.output();
    const text = new TextDecoder().decode(stdout);
    assertEquals(text, `/dev/null\n/dev/zero\n${Deno.cwd()}\n`);
  } finally {
    await Deno.remove(path);
  }
});

if (import.meta.main) console.log((await outputOf(Deno.args[0] ?? "")).trimEnd());
