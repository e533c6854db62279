/** dinovisor as `deno task install` puts it in place: bundled, with its workers and data. */
import { install } from "../../scripts/install.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "../../src/std/assert.ts";
import { ociLayout, tarOf } from "../support/archives.ts";
import { runCli, tinyArgs } from "../support/cli_process.ts";
import { kvmTest, linuxTest } from "../support/kvm.ts";
import { writeFiles } from "../support/root_files.ts";

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Said> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd: "/",
    stdin: "null",
    env: { NO_COLOR: "1", ...env },
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
    // A second vCPU that is started, and a serial port: both workers' bundles.
    const two = await tinyArgs("test=smp-start", ["-c", "2"]);
    const workers = await run(program, two, { DENO_LOG: "debug" });
    assertEquals(workers.code, 0, workers.stderr);
    assertMatch(workers.stdout, /^cpu 0 .*\ncpu 1 .*\n$/);
    assertEquals(
      compiledAhead(workers.stderr),
      ["io_worker.js", "main.js", "run.js", "vcpu_worker.js"],
      workers.stderr,
    );
    const wrong = await run(program, ["run", "-k", "/nothing/here"]);
    assertEquals(wrong.code, 125);
    assert(wrong.stderr.startsWith("error: cannot find kernel"), wrong.stderr);
    const traced = await run(program, await tinyArgs("test=idle", ["--verbose"]), {
      DINOVISOR_KVM: "/dev/null",
    });
    assertMatch(traced.stderr, /^KvmError: .*\n {4}at \S+ \(src\/kvm\/system\.ts:\d+:\d+\)\n/m);
    assertMatch(traced.stderr, /\(src\/cli\/run\.ts:\d+:\d+\)/);
    // By us, and only then: Deno would read a map that a program names at each start.
    const bundled = Deno.readTextFileSync(`${prefix}/share/dinovisor/run.js`);
    assert(!bundled.includes("sourceMappingURL"));
  } finally {
    Deno.removeSync(prefix, { recursive: true });
  }
}, { limitMs: 120_000 });

/** The modules whose compiled code Deno found in its cache, as its log says. */
function compiledAhead(log: string): string[] {
  const hits = log.matchAll(/V8 code cache hit for ES module: file:\S*\/(\w+\.js)/g);
  return [...hits].map(([, name = ""]) => name).sort();
}

Deno.test("an installed dinovisor is compiled already, and runs without that, too", async () => {
  const prefix = Deno.makeTempDirSync({ prefix: "dinovisor install " });
  try {
    const program = await install(prefix);
    const cache = `${prefix}/share/dinovisor/cache`;
    const debug = { DENO_LOG: "debug" };
    const others = await run(program, ["version"], debug);
    assertEquals(compiledAhead(others.stderr), ["main.js", "others.js"], others.stderr);
    const first = await run(program, ["run", "--help"], debug);
    assertEquals(compiledAhead(first.stderr), ["main.js", "run.js"], first.stderr);
    const command = await run(program, ["run", "--help", "--", "CMD"], debug);
    assertEquals(compiledAhead(command.stderr), ["command.js", "main.js"], command.stderr);
    const logs = [...Deno.readDirSync(cache)].filter(({ name }) => name.endsWith("-wal"));
    // An empty one: nothing was left in it at the installation, nothing has been compiled since.
    for (const { name } of logs) assertEquals(Deno.statSync(`${cache}/${name}`).size, 0, name);
    Deno.removeSync(cache, { recursive: true });
    const without = await run(program, ["version"], debug);
    assertEquals([without.code, compiledAhead(without.stderr)], [0, []], without.stderr);
    assertEquals(without.stdout, others.stdout);
    assertThrows(() => Deno.statSync(cache), Deno.errors.NotFound);
  } finally {
    Deno.removeSync(prefix, { recursive: true });
  }
});

linuxTest("an installed dinovisor finds the default guest that a checkout has made", async () => {
  const prefix = Deno.makeTempDirSync({ prefix: "dinovisor-install-" });
  try {
    const planned = await runCli(["run", "--dry-run"]);
    const program = await install(prefix);
    const { code, stdout, stderr } = await run(program, ["run", "--dry-run"]);
    assertEquals([code, stdout], [0, planned.stdout], stderr);
    // Packages in CommonJS are in the bundle, too.
    const root = `${prefix}/root`;
    const tar = await tarOf({ name: "one", data: "1" });
    await writeFiles(root, await ociLayout({ layers: [{ tar, packed: tar }], config: {} }));
    const rooted = await run(program, ["run", "--dry-run", "--rootfs", root]);
    assertEquals(rooted.code, 0, rooted.stderr);
    assertStringIncludes(rooted.stdout, "/rootfs.ext4-");
  } finally {
    Deno.removeSync(prefix, { recursive: true });
  }
});
