/** dinovisor as `deno task install` puts it in place: bundled, with its workers and data. */
import { install } from "../../scripts/install.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { runCli, tinyArgs } from "../support/cli_process.ts";
import { kvmTest, linuxTest } from "../support/kvm.ts";

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(program: string, args: readonly string[]): Promise<Said> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd: "/",
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

kvmTest("an installed dinovisor runs guests from anywhere, and can be installed over", async () => {
  const prefix = Deno.makeTempDirSync({ prefix: "dinovisor install " }); // with blanks in its path
  try {
    await install(prefix);
    const program = await install(prefix);
    const version = await run(program, ["version"]);
    assert(/^dinovisor \d/.test(version.stdout), version.stderr);
    const one = await run(program, await tinyArgs("test=idle status=7"));
    assertEquals([one.code, one.stdout], [7, ""], one.stderr);
    // Two vCPUs and a serial port: both workers' bundles.
    const two = await run(program, await tinyArgs("test=serial bytes=0", ["-c", "2"]));
    assertEquals([two.code, two.stdout], [0, "hello from the tiny guest\n"], two.stderr);
    const wrong = await run(program, ["run", "-k", "/nothing/here"]);
    assertEquals(wrong.code, 125);
    assert(wrong.stderr.startsWith("error: cannot find kernel"), wrong.stderr);
  } finally {
    Deno.removeSync(prefix, { recursive: true });
  }
}, { limitMs: 120_000 });

linuxTest("an installed dinovisor finds the default guest that a checkout has made", async () => {
  const prefix = Deno.makeTempDirSync({ prefix: "dinovisor-install-" });
  try {
    const planned = await runCli(["run", "--dry-run"]);
    const { code, stdout, stderr } = await run(await install(prefix), ["run", "--dry-run"]);
    assertEquals([code, stdout], [0, planned.stdout], stderr);
  } finally {
    Deno.removeSync(prefix, { recursive: true });
  }
});
