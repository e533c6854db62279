/** Disks of the default guest: what Linux reads and writes, checked on the host. */
import { assertEquals, assertStringIncludes } from "../../src/std/assert.ts";
import { CliProcess, runCli } from "../support/cli_process.ts";
import { directRefusal, DiskDirectory, firstDifference, readRange } from "../support/disk_image.ts";
import { linuxTest } from "../support/kvm.ts";

const BOOT_MS = 150_000;
const MIB = 2 ** 20;
const BLOCK = 64 * 1024;

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

linuxTest(
  "a slice of a disk reads and a copy of it is written as on the host; --console file= has the words",
  async () => {
    using directory = new DiskDirectory();
    const log = `${directory.path}/console.log`;
    const source = directory.random("source.img", 8 * MIB, 21);
    const target = directory.random("target.img", 4 * MIB, 22);
    const before = Deno.readFileSync(target);
    const script = [
      "cat /sys/block/vdb/ro /sys/block/vdb/serial; echo; cat /sys/block/vdc/size",
      "dd if=/dev/vdb bs=64k skip=70 count=8 iflag=direct 2>/dev/null | sha256sum",
      "dd if=/dev/vdb of=/dev/vdc bs=64k skip=5 seek=9 count=6 iflag=direct oflag=direct 2>/dev/null",
      "sync",
      "dd if=/dev/vdc bs=64k skip=9 count=1 iflag=direct 2>/dev/null | sha256sum",
      "echo words > /dev/console",
      "exit 4",
    ].join("; ");
    const { code, stdout, stderr } = await runCli([
      ...["run", "--console", `file=${log}`],
      ...["--disk", `${source},ro,id=the-source`, "--disk", target],
      ...["--", "sh", "-c", script],
    ], { limitMs: BOOT_MS });
    assertEquals({ code, stderr }, { code: 4, stderr: "" });
    assertStringIncludes(Deno.readTextFileSync(log), "words");
    assertEquals(stdout.split("\n"), [
      "1",
      "the-source",
      String(4 * MIB / 512),
      `${await sha256(readRange(source, 70 * BLOCK, 8 * BLOCK))}  -`,
      `${await sha256(readRange(source, 5 * BLOCK, BLOCK))}  -`,
      "",
    ]);
    before.set(readRange(source, 5 * BLOCK, 6 * BLOCK), 9 * BLOCK);
    assertEquals(firstDifference(Deno.readFileSync(target), before), -1, "disk differs at");
  },
);

linuxTest(
  "what was written is in the file when sync has returned and dinovisor is killed with -9",
  async () => {
    using directory = new DiskDirectory();
    const direct = directRefusal() === undefined ? ",direct" : "";
    const through = directory.empty("direct.img", 2 * MIB);
    const cached = directory.empty("cached.img", 2 * MIB);
    const script = [
      "dd if=/dev/zero bs=64k count=2 2>/dev/null | tr '\\0' x > /tmp/x",
      "dd if=/tmp/x of=/dev/vdb bs=64k seek=3 oflag=direct 2>/dev/null",
      "dd if=/tmp/x of=/dev/vdc bs=64k seek=5 2>/dev/null", // in the guest's page cache until sync
      "sync",
      "echo synced",
      "sleep 1000",
    ].join("; ");
    await using cli = CliProcess.spawn([
      ...["run", "--disk", through + direct, "--disk", cached, "--", "sh", "-c", script],
    ], { limitMs: BOOT_MS });
    await cli.waitFor("synced\n", { ms: BOOT_MS });
    cli.kill("SIGKILL");
    assertEquals((await cli.ended).signal, "SIGKILL");
    for (const [path, block] of [[through, 3], [cached, 5]] as const) {
      const expected = new Uint8Array(2 * MIB);
      expected.fill("x".charCodeAt(0), block * BLOCK, (block + 2) * BLOCK);
      assertEquals(firstDifference(Deno.readFileSync(path), expected), -1, `${path} differs at`);
    }
  },
);
