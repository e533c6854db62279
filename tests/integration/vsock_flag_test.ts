/** What can be wrong with --vsock, and what becomes of socket files. */
import { vsockKind } from "../../devices/vsock/kind.ts";
import { Machine } from "../../src/machine/machine.ts";
import { checkConfig } from "../../src/machine/check.ts";
import type { Problem } from "../../src/virtio/device_kind.ts";
import { assert, assertEquals, assertRejects } from "../../src/std/assert.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { kvmTest, tinyConfig } from "../support/kvm.ts";

function problemsOf(cid: number, uds?: string): string[] {
  const problems: Problem[] = [];
  const config = { kind: "vsock", cid, ...(uds === undefined ? {} : { uds }) } as const;
  vsockKind.check(config, (problem) => problems.push(problem));
  return problems.map(({ code }) => code);
}

Deno.test("a socket path must fit, lie in a directory that is there, and be free", () => {
  using directory = new DiskDirectory();
  assertEquals(problemsOf(3, `${directory.path}/vm.sock`), []);
  assertEquals(problemsOf(3, `${directory.path}/none/vm.sock`), ["VSOCK_DIRECTORY"]);
  assertEquals(problemsOf(3, `/tmp/${"x".repeat(92)}`), ["VSOCK_PATH_LENGTH"]);
  assertEquals(problemsOf(3, `/tmp/${"x".repeat(91)}`), []);
  assertEquals(problemsOf(3, ""), ["VSOCK_PATH"]);
  Deno.writeTextFileSync(`${directory.path}/file`, "mine");
  assertEquals(problemsOf(3, `${directory.path}/file`), ["VSOCK_EXISTS"]);
  assertEquals(problemsOf(2, `${directory.path}/file`), ["VSOCK_CID", "VSOCK_EXISTS"]);
});

Deno.test("a machine has one vsock device", async () => {
  const devices = [{ kind: "vsock", cid: 3 }, { kind: "vsock", cid: 4 }] as const;
  const problems = checkConfig(await tinyConfig({ words: "", devices }));
  assertEquals(problems.map(({ field, code }) => [field, code]), [["--vsock", "VSOCK_TWICE"]]);
});

kvmTest(
  "a socket file that nobody listens on is replaced, one that somebody uses is not",
  async () => {
    using directory = new DiskDirectory();
    const uds = `${directory.path}/vm.sock`;
    const config = await tinyConfig({
      words: "test=serial-echo",
      devices: [{ kind: "vsock", cid: 3, uds }],
    });
    await leaveSocket(uds);
    assert(exists(uds));
    {
      await using first = await Machine.create(config);
      first.start();
      const error = await assertRejects(() => Machine.create(config), Error);
      assert(error.message.includes("EADDRINUSE"), error.message);
      assert(exists(uds), "the first one's socket is still there");
    }
    assert(!exists(uds));
  },
);

/** As a program that is killed leaves one behind. */
async function leaveSocket(path: string): Promise<void> {
  const script = `Deno.listen({ transport: "unix", path: Deno.args[0] });
    Deno.kill(Deno.pid, "SIGKILL");`;
  await new Deno.Command(Deno.execPath(), { args: ["eval", script, path] }).output();
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
