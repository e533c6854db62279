/** What the tiny guest writes, flushes, discards and zeroes, checked in the file. */
import type { BlockConfig } from "../../devices/block/kind.ts";
import { assert, assertEquals, assertLessOrEqual } from "../../src/std/assert.ts";
import { CliProcess, tinyArgs } from "../support/cli_process.ts";
import { directRefusal, DiskDirectory, firstDifference } from "../support/disk_image.ts";
import { readRange, writtenPattern } from "../support/disk_image.ts";
import { kvmTest, tinyReport } from "../support/kvm.ts";
import { dirtyPages, dirtyPagesRefusal } from "../support/host_state.ts";

const MIB = 2 ** 20;
const SECTOR = 512;
const direct = directRefusal();

type Engine = NonNullable<BlockConfig["engine"]>;

function disk(path: string, engine: Engine = "auto", isDirect = false): BlockConfig {
  return { kind: "block", path, readOnly: false, direct: isDirect, engine };
}

/** Checks that `count` sectors from `sector` on are the guest's pattern, and everything else is as it was. */
function assertWritten(path: string, before: Uint8Array, sector: number, count: number): void {
  const expected = before.slice();
  expected.set(writtenPattern(count * SECTOR, 99), sector * SECTOR);
  assertEquals(firstDifference(Deno.readFileSync(path), expected), -1, "disk differs at");
}

for (const engine of ["sync", "io_uring"] as const) {
  for (const words of ["", "noevent", "noindirect", "noevent noindirect"]) {
    kvmTest(
      `engine ${engine} writes what it is given where it belongs${words && `, with ${words}`}`,
      async () => {
        await writesExactly(engine, false, words);
      },
    );
  }
  kvmTest(`engine ${engine} writes past the page cache`, async () => {
    await writesExactly(engine, true, "");
  }, { ignore: direct });
}

async function writesExactly(engine: Engine, isDirect: boolean, words: string): Promise<void> {
  using directory = new DiskDirectory();
  const path = directory.random("disk.img", 4 * MIB, 5);
  const before = Deno.readFileSync(path);
  const where = "sector=1003 count=2001 seed=99 bs=7K qd=8"; // in no way aligned, the last block short
  const { exit, text } = await tinyReport(`test=blk-write ${where} flush ${words}`, [
    disk(path, engine, isDirect),
  ]);
  assertEquals({ status: exit.status, text }, { status: 0, text: "written\n" });
  assertWritten(path, before, 1003, 2001);
}

kvmTest(
  "a write past the end of the disk fails in the guest and leaves the file its size",
  async () => {
    using directory = new DiskDirectory();
    const path = directory.random("disk.img", MIB, 5);
    const before = Deno.readFileSync(path);
    const { exit, text } = await tinyReport("test=blk-write sector=2047 count=2 qd=1", [
      disk(path),
    ]);
    assertEquals({ status: exit.status, text }, {
      status: 1,
      text: "error status 1 sector 2047\n",
    });
    assertEquals(firstDifference(Deno.readFileSync(path), before), -1);
  },
);

for (const flag of ["", ",direct"]) {
  const how = flag === "" ? "through the page cache" : "with O_DIRECT";
  kvmTest(`data flushed ${how} is in the file after kill -9`, async () => {
    using directory = new DiskDirectory();
    const path = directory.random("disk.img", 8 * MIB, 11);
    const before = Deno.readFileSync(path);
    const words = "test=blk-write sector=64 count=8192 seed=99 flush hang";
    await using cli = CliProcess.spawn(await tinyArgs(words, ["--disk", path + flag]));
    await cli.waitFor("written\n");
    cli.kill("SIGKILL");
    assertEquals((await cli.ended).signal, "SIGKILL");
    assertWritten(path, before, 64, 8192);
  }, { ignore: flag === "" ? undefined : direct });
}

for (const engine of ["sync", "io_uring"] as const) {
  kvmTest(`FLUSH on engine ${engine} leaves nothing of the file only in memory`, async () => {
    using directory = new DiskDirectory();
    const path = directory.empty("disk.img", 8 * MIB);
    await tinyReport("test=blk-write count=8192", [disk(path, engine)]);
    assert(await dirtyPages(path) > 0, "the test sees no unwritten pages without a flush");
    await tinyReport("test=blk-write count=8192 flush", [disk(path, engine)]);
    assertEquals(await dirtyPages(path), 0);
  }, { ignore: dirtyPagesRefusal() });
}

for (const engine of ["sync", "io_uring"] as const) {
  for (const place of ["disk", "fast"] as const) {
    kvmTest(
      `DISCARD on engine ${engine} punches a hole that reads as zeroes, on ${place}`,
      async () => {
        await changesRange("test=blk-discard", engine, place, { shrinks: true });
      },
    );
    kvmTest(`WRITE_ZEROES with unmap on engine ${engine} punches a hole, on ${place}`, async () => {
      await changesRange("test=blk-zero unmap", engine, place, { shrinks: true });
    });
    kvmTest(`WRITE_ZEROES on engine ${engine} zeroes, on ${place}`, async () => {
      await changesRange("test=blk-zero", engine, place, {});
    });
  }
}

async function changesRange(
  words: string,
  engine: Engine,
  place: "disk" | "fast",
  { shrinks = false },
): Promise<void> {
  using directory = new DiskDirectory(place);
  const path = directory.random("disk.img", 4 * MIB, 13);
  const expected = Deno.readFileSync(path);
  using file = Deno.openSync(path);
  file.syncDataSync(); // blocks are counted once they are allocated
  const blocksBefore = Deno.statSync(path).blocks ?? 0;
  const { text } = await tinyReport(`${words} sector=2048 count=4096`, [disk(path, engine)]);
  assertEquals(text, "status 0\n");
  expected.fill(0, MIB, 3 * MIB);
  assertEquals(firstDifference(Deno.readFileSync(path), expected), -1, "disk differs at");
  if (!shrinks) return;
  assertLessOrEqual(Deno.statSync(path).blocks ?? 0, blocksBefore - 4096);
}

kvmTest("a DISCARD that reaches past the end is refused and changes nothing", async () => {
  using directory = new DiskDirectory();
  const path = directory.random("disk.img", MIB, 13);
  const before = Deno.readFileSync(path);
  const { text } = await tinyReport("test=blk-discard sector=2040 count=9", [disk(path)]);
  assertEquals(text, "status 1\n");
  assertEquals(firstDifference(readRange(path, 0, 2 * MIB), before), -1);
});

kvmTest("the guest switches the write cache off and on", async () => {
  using directory = new DiskDirectory();
  const path = directory.empty("disk.img", MIB);
  const off = await tinyReport("test=blk-wce value=0", [disk(path)]);
  assertEquals(off.text, "before 1\nwriteback 0\n");
  const on = await tinyReport("test=blk-wce value=1", [disk(path)]);
  assertEquals(on.text, "before 1\nwriteback 1\n");
});
