/**
 * Disks that fail for real: full, shrunk, limited, on a file system that cannot, frozen. The guest gets an I/O error or
 * waits, the owner is told once, and the machine goes on.
 */
import type { BlockConfig } from "../../devices/block/kind.ts";
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import type { BackendFailure } from "../../src/machine/machine_options.ts";
import { assert, assertEquals, assertStringIncludes } from "../../src/std/assert.ts";
import { runTinyCli } from "../support/cli_process.ts";
import { DiskDirectory, firstDifference, writtenPattern } from "../support/disk_image.ts";
import { assertNothingLeft, settledState } from "../support/host_state.ts";
import { delay, kvmTest, runTiny, tinyConfig, until } from "../support/kvm.ts";
import { Mounted, mountRefusal } from "../support/mounted.ts";
import { ToldProcess } from "../support/told_process.ts";

const MIB = 2 ** 20;
const ENGINES = ["io_uring", "sync"] as const;
type Engine = (typeof ENGINES)[number];
const WITH_TMPFS = { ignore: mountRefusal("tmpfs") };
const WITH_RAMFS = { ignore: mountRefusal("ramfs") };
const WITH_EXT4 = { ignore: mountRefusal("ext4"), limitMs: 120_000 };

function disk(path: string, engine: Engine): BlockConfig {
  return { kind: "block", path, readOnly: false, direct: false, engine };
}

/** A tiny guest with one disk, its serial port in a file beside it. */
function tiny(words: string, path: string, engine: Engine, serial: string): Promise<MachineConfig> {
  return tinyConfig({
    words,
    devices: [disk(path, engine)],
    console: { mode: "file", path: serial },
  });
}

for (const engine of ENGINES) {
  kvmTest(`${engine}: a full disk is an I/O error, and is said once`, async () => {
    await using small = await Mounted.mount({ type: "tmpfs", bytes: MIB });
    using directory = new DiskDirectory();
    const path = small.empty("disk.img", 8 * MIB);
    const serial = `${directory.path}/serial`;
    const words = "test=blk-write count=8192 bs=64K qd=4";
    await using told = new ToldProcess(await tiny(words, path, engine, serial), small.prefix);
    await told.start();
    assertEquals((await told.exit()).status, 1);
    assert(/^error status 1 sector \d+\n$/.test(Deno.readTextFileSync(serial)));
    assertEquals(told.failures, [
      `block0: Cannot write disk "${path}": no space left (ENOSPC)`,
    ]);
  }, WITH_TMPFS);

  kvmTest(`${engine}: a file that has become shorter is an I/O error behind its end`, async () => {
    using directory = new DiskDirectory();
    const path = directory.random("disk.img", MIB, 7);
    const serial = `${directory.path}/serial`;
    const failures: BackendFailure[] = [];
    await using machine = await Machine.create(
      await tiny("test=blk-sum bs=4K qd=1", path, engine, serial),
      { events: { backendFailed: (failure) => failures.push(failure) } },
    );
    Deno.truncateSync(path, 100 * 512 + 100); // not at a block's end: the last read is short first
    machine.start();
    assertEquals((await machine.exited).status, 1);
    assertEquals(Deno.readTextFileSync(serial), "error status 1 sector 96\n");
    assertEquals(failures, [
      { device: "block0", message: `Cannot read disk "${path}": the file has become shorter` },
    ]);
  });

  kvmTest(`${engine}: a limit on the size of files is an I/O error, and no signal`, async () => {
    using directory = new DiskDirectory();
    const path = directory.empty("disk.img", 8 * MIB);
    const serial = `${directory.path}/serial`;
    const limited = ["sh", "-c", `ulimit -f 4096; exec "$@"`, "sh"]; // units of 512 bytes: 2 MiB
    const words = "test=blk-write count=1 sector=8192";
    await using told = new ToldProcess(await tiny(words, path, engine, serial), limited);
    await told.start();
    assertEquals((await told.exit()).status, 1);
    assertEquals(Deno.readTextFileSync(serial), "error status 1 sector 8192\n");
    assertEquals(told.failures, [
      `block0: Cannot write disk "${path}": file too large (EFBIG)`,
    ]);
    assertEquals((await told.process.ended).signal, null);
  });

  for (const test of ["blk-discard", "blk-zero"]) {
    kvmTest(`${engine}: ${test} where holes cannot be punched is UNSUPP`, async () => {
      await using plain = await Mounted.mount({ type: "ramfs" });
      using directory = new DiskDirectory();
      const path = plain.empty("disk.img", MIB);
      const serial = `${directory.path}/serial`;
      const config = await tiny(`test=${test} sector=8 count=8`, path, engine, serial);
      await using told = new ToldProcess(config, plain.prefix);
      await told.start();
      await told.exit();
      assertEquals(Deno.readTextFileSync(serial), "status 2\n");
      assertEquals(told.failures, []);
    }, WITH_RAMFS);
  }

  kvmTest(`${engine}: a disk that stands still for seconds loses nothing`, async () => {
    await using slow = await Mounted.mount({ type: "ext4", bytes: 16 * MIB });
    using directory = new DiskDirectory();
    const path = slow.empty("disk.img", 4 * MIB);
    const serial = `${directory.path}/serial`;
    const words = "test=blk-write count=4096 seed=3 bs=4K qd=8 flush";
    await using told = new ToldProcess(await tiny(words, path, engine, serial), slow.prefix);
    await told.created();
    await using frozen = await slow.freeze();
    await told.start();
    await delay(2000);
    assertEquals(readText(serial), "", "nothing is written yet");
    await frozen.thaw();
    const { exit, kept } = await told.last();
    assertEquals([exit.status, kept], [0, 0]);
    assertEquals(readText(serial), "written\n");
    const content = Deno.readFileSync(slow.outside("disk.img")).subarray(0, 4096 * 512);
    assertEquals(firstDifference(content, writtenPattern(4096 * 512, 3)), -1);
    assertEquals(told.failures, []);
  }, WITH_EXT4);

  kvmTest(`${engine}: a disk that hangs for good does not keep its machine`, async () => {
    await using hung = await Mounted.mount({ type: "ext4", bytes: 16 * MIB });
    using directory = new DiskDirectory();
    const path = hung.empty("disk.img", 4 * MIB);
    const config = await tiny("test=blk-write count=64", path, engine, `${directory.path}/serial`);
    await using told = new ToldProcess(config, hung.prefix);
    await told.created();
    await using frozen = await hung.freeze();
    await told.start();
    await until("the write waits", () => waitsInKernel(told.process.pid));
    await told.stop();
    const { exit, kept } = await told.last();
    assertEquals(exit.reason, "stopped");
    if (engine === "io_uring") {
      assertEquals(told.failures, [
        "block0: Cannot finish its requests: no answer for 10 seconds",
      ]);
    }
    // What the kernel may still read and write is nobody else's: the guest's memory stays where it is.
    assertEquals(kept, 1);
    assertStringIncludes(told.log.at(-1) ?? "", "memory stays mapped");
    // So does its disk, if it is a thread of ours that hangs there: it goes on with that number.
    assertEquals(isOpen("disk.img", told.process.pid), engine === "sync");
    await frozen.thaw();
    assertEquals((await told.process.ended).code, 0);
  }, WITH_EXT4);
}

/** Whether a thread of the process, or a worker of its io_uring, is in uninterruptible sleep. */
function waitsInKernel(pid: number): boolean {
  return [...Deno.readDirSync(`/proc/${pid}/task`)].some(({ name }) => {
    const stat = readText(`/proc/${pid}/task/${name}/stat`);
    return stat.replace(/^.*\) /, "").startsWith("D");
  });
}

/** Whether the process has a file of that name open; its path is its mount namespace's affair. */
function isOpen(name: string, pid: number): boolean {
  const folder = `/proc/${pid}/fd`;
  return [...Deno.readDirSync(folder)].some((fd) => {
    try {
      return Deno.readLinkSync(`${folder}/${fd.name}`).endsWith(`/${name}`);
    } catch {
      return false; // closed meanwhile
    }
  });
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

kvmTest("the command line warns once of a disk that fails, and the report has it", async () => {
  await using small = await Mounted.mount({ type: "tmpfs", bytes: MIB });
  using directory = new DiskDirectory();
  const path = small.empty("disk.img", 8 * MIB);
  const report = `${directory.path}/report.json`;
  const args = ["--disk", path, "--report", report];
  const words = "test=blk-write count=8192 bs=64K qd=8";
  const { code, stderr } = await runTinyCli(words, args, { prefix: small.prefix });
  const message = `Cannot write disk "${path}": no space left (ENOSPC)`;
  assertEquals({ code, stderr }, { code: 1, stderr: `warning: block0: ${message}\n` });
  const { backendFailures } = JSON.parse(Deno.readTextFileSync(report));
  assertEquals(backendFailures, [{ device: "block0", message }]);
  const quiet = await runTinyCli(words, [...args, "--quiet"], { prefix: small.prefix });
  assertEquals(quiet.stderr, "");
}, WITH_TMPFS);

kvmTest("machines whose disks failed leave nothing behind", async () => {
  using directory = new DiskDirectory();
  const path = directory.random("disk.img", MIB, 7);
  Deno.truncateSync(path, 512);
  const work = async () => {
    for (const engine of ENGINES) {
      const image = directory.random("again.img", MIB, 7);
      await using machine = await Machine.create(
        await tiny("test=blk-sum", image, engine, `${directory.path}/serial`),
      );
      Deno.truncateSync(image, 512);
      machine.start();
      assertEquals((await machine.exited).status, 1);
    }
  };
  await work();
  const before = await settledState();
  for (let i = 0; i < 5; i++) await work();
  assertNothingLeft(before, await settledState());
  assertEquals((await runTiny({ words: "test=idle status=4" })).status, 4);
});

for (const engine of ENGINES) {
  kvmTest(
    `${engine}: what was flushed is in the file after kill -9, what was not may be`,
    async () => {
      using directory = new DiskDirectory();
      const path = directory.empty("disk.img", 4 * MIB);
      const serial = `${directory.path}/serial`;
      const words = "test=blk-write count=4096 seed=9 bs=8K qd=8 flush hang";
      const config = await tiny(words, path, engine, serial);
      await using told = new ToldProcess(config);
      await told.start();
      await until("the guest has flushed", () => readText(serial) === "written\n", 30_000);
      told.process.kill("SIGKILL");
      assertEquals((await told.process.ended).signal, "SIGKILL");
      const content = Deno.readFileSync(path).subarray(0, 4096 * 512);
      assertEquals(firstDifference(content, writtenPattern(4096 * 512, 9)), -1);
    },
  );
}

kvmTest("a machine that never hears of its failures goes on all the same", async () => {
  using directory = new DiskDirectory();
  const path = directory.random("disk.img", MIB, 7);
  const serial = `${directory.path}/serial`;
  await using machine = await Machine.create(await tiny("test=blk-sum", path, "sync", serial));
  Deno.truncateSync(path, 512);
  machine.start();
  assertEquals((await machine.exited).status, 1);
  assertStringIncludes(readText(serial), "error status 1");
});
