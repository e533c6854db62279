/** Programs of the host that a machine starts. */
import { assertEquals } from "../../src/std/assert.ts";
import { O_RDWR } from "../../src/abi/linux.ts";
import { Child } from "../../src/sys/child.ts";
import { openFile } from "../../src/sys/fd.ts";
import { readFd } from "../../src/sys/stream.ts";
import { EAGAIN } from "../../src/sys/sys_error.ts";
import { childPair } from "../../src/sys/unix_socket.ts";
import { delay, until } from "../support/kvm.ts";

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

Deno.test("a child's socket waits for room, and ours for nothing", async () => {
  const path = await Deno.makeTempFile();
  using log = openFile(path, O_RDWR);
  await Deno.remove(path);
  const [ours, theirs] = childPair();
  using _ = ours;
  assertEquals(readFd(ours.number, new Uint8Array(1)), -EAGAIN);
  const bytes = 2_000_000;
  const words = ["sh", "-c", `head -c ${bytes} /dev/zero >&3`];
  using child = new Child(words, theirs.number, log.number);
  theirs.close();
  const piece = new Uint8Array(64 * 1024);
  let got = 0;
  await until("the child has ended its output", async () => {
    await delay(2); // it is faster than we are: it finds the socket full
    const count = readFd(ours.number, piece);
    got += Math.max(0, count);
    return count === 0;
  });
  assertEquals(got, bytes);
  await until("the child has ended", () => child.ended);
});

if (import.meta.main) console.log((await outputOf(Deno.args[0] ?? "")).trimEnd());
