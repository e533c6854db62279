/** Disks with an overlay: the guest sees what it wrote, the file stays as it is, and many machines may use it at once. */
import type { BlockConfig } from "../../devices/block/kind.ts";
import { checkConfig } from "../../src/machine/check.ts";
import { Machine } from "../../src/machine/machine.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../../src/std/assert.ts";
import {
  blockSum,
  directRefusal,
  DiskDirectory,
  firstDifference,
  writtenPattern,
} from "../support/disk_image.ts";
import { assertNothingLeft, settledState } from "../support/host_state.ts";
import { kvmTest, tinyConfig, tinyReport } from "../support/kvm.ts";
import { Mounted, mountRefusal } from "../support/mounted.ts";
import { ToldProcess } from "../support/told_process.ts";

const MIB = 2 ** 20;
const SECTOR = 512;
const ENGINES = ["io_uring", "sync"] as const;
/** In no way aligned, the last block short, several requests for each cluster. */
const WRITE = "test=blk-write sector=1003 count=2001 bs=7K qd=8 flush sum";

function disk(path: string, more: Partial<BlockConfig> = {}): BlockConfig {
  return { kind: "block", path, readOnly: false, direct: false, overlay: true, ...more };
}

/** What WRITE prints when it sees its own pattern of `seed` over `before`. */
function expected(directory: DiskDirectory, before: Uint8Array, seed: number): string {
  const after = before.slice();
  after.set(writtenPattern(2001 * SECTOR, seed), 1003 * SECTOR);
  const path = `${directory.path}/expected${seed}.img`;
  Deno.writeFileSync(path, after);
  return `written\nsum ${blockSum(path)} bytes ${after.length}\n`;
}

for (const engine of ENGINES) {
  for (const direct of [false, true]) {
    const how = direct ? ", the base past the page cache" : "";
    kvmTest(`${engine}: the guest reads what it wrote, the file is as it was${how}`, async () => {
      using directory = new DiskDirectory();
      const path = directory.random("disk.img", 4 * MIB, 5);
      const before = Deno.readFileSync(path);
      const { exit, text } = await tinyReport(`${WRITE} seed=99`, [disk(path, { engine, direct })]);
      assertEquals({ status: exit.status, text }, {
        status: 0,
        text: expected(directory, before, 99),
      });
      assertEquals(firstDifference(Deno.readFileSync(path), before), -1);
    }, { ignore: direct ? directRefusal() : undefined });
  }

  kvmTest(`${engine}: an overlay that is full is an I/O error, and is said once`, async () => {
    await using small = await Mounted.mount({ type: "tmpfs", bytes: MIB });
    using directory = new DiskDirectory();
    const path = directory.empty("disk.img", 8 * MIB);
    const serial = `${directory.path}/serial`;
    const config = await tinyConfig({
      words: "test=blk-write count=8192 bs=64K qd=4",
      devices: [disk(path, { engine })],
      console: { mode: "file", path: serial },
    });
    const scratch = small.path;
    const prefix = [...small.prefix, "env", `TMPDIR=${scratch}`];
    await using told = new ToldProcess(config, prefix);
    await told.start();
    assertEquals((await told.exit()).status, 1);
    assertMatch(Deno.readTextFileSync(serial), /^error status 1 sector \d+\n$/);
    assertEquals(told.failures, [
      `block0: Cannot write disk "${path}" or its overlay in "${scratch}": no space left (ENOSPC)`,
    ]);
    assertEquals(firstDifference(Deno.readFileSync(path), new Uint8Array(8 * MIB)), -1);
  }, { ignore: mountRefusal("tmpfs") });
}

kvmTest("machines share a file through overlays and see their own writes only", async () => {
  using directory = new DiskDirectory();
  const path = directory.random("disk.img", 4 * MIB, 5);
  const before = Deno.readFileSync(path);
  const seeds = [1, 2, 3];
  const machines: Machine[] = [];
  for (const seed of seeds) {
    const serial = `${directory.path}/serial${seed}`;
    const config = await tinyConfig({
      words: `${WRITE} seed=${seed}`,
      devices: [disk(path)],
      console: { mode: "file", path: serial },
    });
    machines.push(await Machine.create(config)); // all are open at once
  }
  const writer = await tinyConfig({
    words: "test=idle",
    devices: [disk(path, { overlay: false })],
  });
  await assertRejects(() => Machine.create(writer), Error, `lock "${path}" failed`);
  for (const machine of machines) machine.start();
  for (const [i, machine] of machines.entries()) {
    assertEquals((await machine.exited).status, 0);
    const text = Deno.readTextFileSync(`${directory.path}/serial${seeds[i]}`);
    assertEquals(text, expected(directory, before, seeds[i] ?? 0));
  }
  assertEquals(firstDifference(Deno.readFileSync(path), before), -1);
});

kvmTest("nothing is left of an overlay", async () => {
  using directory = new DiskDirectory();
  const path = directory.random("disk.img", 4 * MIB, 5);
  const once = () => tinyReport(`${WRITE} seed=1`, [disk(path)]);
  await once(); // threads, code and libraries are there afterwards
  const before = await settledState();
  for (let round = 0; round < 3; round++) assertEquals((await once()).exit.status, 0);
  assertNothingLeft(before, await settledState());
});

kvmTest("one machine may have a file twice with overlays, not with one and a writer", async () => {
  using directory = new DiskDirectory();
  const path = directory.random("disk.img", MIB, 5);
  const codes = async (...devices: BlockConfig[]) =>
    checkConfig(await tinyConfig({ words: "test=idle", devices })).map(({ code }) => code);
  assertEquals(await codes(disk(path), disk(path)), []);
  assertEquals(await codes(disk(path), disk(path, { overlay: false })), ["DISK_TWICE"]);
  assertEquals(await codes(disk(path, { readOnly: true })), ["DISK_OVERLAY_READ_ONLY"]);
  using memory = new DiskDirectory("fast"); // other file systems have no files of this size
  const huge = `${memory.path}/huge.img`;
  Deno.writeFileSync(huge, new Uint8Array());
  try {
    Deno.truncateSync(huge, 65 * 2 ** 40);
  } catch {
    return console.log("ignored: this file system has no files of 65 TiB");
  }
  assertEquals(await codes(disk(huge)), ["DISK_OVERLAY_SIZE"]);
});

kvmTest("a directory for overlays that is not there is said with its remedy", async () => {
  using directory = new DiskDirectory();
  const path = directory.random("disk.img", MIB, 5);
  const config = await tinyConfig({ words: "test=idle", devices: [disk(path)] });
  const before = Deno.env.get("TMPDIR");
  Deno.env.set("TMPDIR", "/nowhere");
  try {
    const error = await assertRejects(() => Machine.create(config), Error, '"/nowhere"');
    assert("hint" in error && String(error.hint).includes("TMPDIR"), String(error));
  } finally {
    if (before === undefined) Deno.env.delete("TMPDIR");
    else Deno.env.set("TMPDIR", before);
  }
});
