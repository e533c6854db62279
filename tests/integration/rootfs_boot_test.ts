/** Guests with roots of the user's: an OCI image and a disk image. One boot each. */
import { Vm, VmError } from "../../src/mod.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../src/std/assert.ts";
import { ociLayout } from "../support/archives.ts";
import { ensureRootImage } from "../../src/guest/mod.ts";
import { runCli } from "../support/cli_process.ts";
import { linuxTest, SLOWNESS } from "../support/kvm.ts";
import { busyboxBytes, busyboxLayer, secondLayer, writeFiles } from "../support/root_files.ts";

const LIMIT_MS = 120_000 * SLOWNESS;
const CONFIG = {
  Entrypoint: ["/bin/sh", "-c"],
  Cmd: ["id; pwd; echo $GREETING $HOME $MORE; cat one two; ls /bin/touch"],
  Env: ["GREETING=hello world", "PATH=/bin"],
  User: "web",
  WorkingDir: "/srv/web",
};

linuxTest(
  "an OCI image: its files, its way to be run, and a view of its own to write to",
  async () => {
    const directory = await Deno.makeTempDir({ dir: "/var/tmp", prefix: "dinovisor-rootfs-" });
    try {
      const busybox = await busyboxBytes();
      const layers = [await busyboxLayer(busybox), await secondLayer(busybox)]
        .map((tar) => ({ tar, packed: tar }));
      await writeFiles(directory, await ociLayout({ layers, config: CONFIG }));
      await withImage(directory);
      await onTheCommandLine(directory);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
);

async function onTheCommandLine(directory: string): Promise<void> {
  const line = [
    "run",
    "-m",
    "144",
    "--rootfs",
    `${directory},size=64M`,
    "-u",
    "7:8",
    "-e",
    "MORE=1",
  ];
  const { code, stdout, stderr } = await runCli(
    [...line, "--", "id -u; id -g; pwd; echo $0 $MORE $GREETING; exit 5", "a"],
    { limitMs: LIMIT_MS },
  );
  assertEquals([code, stdout, stderr], [5, "7\n8\n/srv/web\na 1 hello world\n", ""]);
}

linuxTest(
  "a disk image is the root as it is, its init and all; with overlay it stays so",
  async () => {
    const path = await Deno.makeTempFile({ dir: "/var/tmp", prefix: "dinovisor-rootfs-" });
    try {
      await Deno.copyFile(
        (await ensureRootImage({ progress: { stage() {}, fraction() {} } })).path,
        path,
      );
      const before = await Deno.readFile(path);
      const { code, stdout } = await runCli(["run", "-q", "--rootfs", `image:${path},overlay`], {
        stdin: "mkdir /made; ls -d /made; exit\n",
        limitMs: LIMIT_MS,
      });
      assertEquals(code, 0);
      assertStringIncludes(stdout, "\n/made");
      assertEquals(await Deno.readFile(path), before);
    } finally {
      await Deno.remove(path);
    }
  },
);

async function withImage(directory: string): Promise<void> {
  await using vm = await Vm.boot({
    rootfs: { oci: directory, size: "64MiB" },
    name: "box-1",
    env: { MORE: "more" },
  });
  assertEquals(vm.image, {
    entrypoint: CONFIG.Entrypoint,
    cmd: CONFIG.Cmd,
    env: { GREETING: "hello world", PATH: "/bin" },
    workdir: "/srv/web",
    user: "web",
  });
  await using own = await vm.start();
  const { text, code, stderr } = await own.output();
  assertEquals(
    text,
    "uid=33(web) gid=34 groups=34\n/srv/web\nhello world /srv/web more\ncontent\ncontent\n",
  );
  assertEquals(code, 1);
  assertStringIncludes(new TextDecoder().decode(stderr), "/bin/touch");
  await using other = await vm.start(["echo $0 $1", "a", "b"]);
  assertEquals((await other.output()).text, "a b\n");

  const run = async (line: string, options = {}): Promise<string> =>
    (await vm.output("/bin/busybox", ["sh", "-c", line], options)).check().text;
  assertEquals(await run("stat -c '%a %u %g' /bin/asroot"), "4755 0 50\n");
  // With this flag the bit would mean nothing.
  assert(!(await run("cat /proc/mounts")).split("\n")[0]?.includes("nosuid"));
  assertEquals(
    await run("stat -c '%h %u %g %a' one; stat -c '%F %t %T' zero pipe"),
    [
      "2 33 34 640\n",
      "character special file 1 5\n",
      "fifo 0 0\n",
    ].join(""),
  );
  assertEquals(await run("head -c 3 zero | od -An -tx1"), " 00 00 00\n");
  assertEquals(await run("stat -c %Y one"), "1000000000\n");
  assertEquals(
    await run("hostname; cat /etc/hosts"),
    "box-1\n127.0.0.1 localhost\n127.0.1.1 box-1\n",
  );
  assertEquals(await run("echo changed > one; cat two"), "changed\n");
  assertEquals(await run("umask 0; echo x > /dev/shm/x && echo y > /tmp/y && cat /tmp/y"), "y\n");
  assertEquals(
    await run("rm -rf /srv /etc; sync; ls /", { uid: 0, cwd: "/" }),
    "bin\ndev\nproc\nroot\nrun\nsys\ntmp\n",
  );
  assert((await vm.shutdown()).success);

  await using again = await Vm.boot({ rootfs: { oci: directory, size: "64MiB" }, agent: "auto" });
  assertEquals((await again.output("cat", ["/srv/web/one"])).text, "content\n");
  const failed = await assertRejects(() => again.output("cat", [], { cwd: "/none" }), VmError);
  assertEquals(failed.code, "CWD_INVALID");
  assert(again.bootMs > 0);
}
