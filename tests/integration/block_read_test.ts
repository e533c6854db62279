/** Disks as the tiny guest finds and reads them. */
import type { BlockConfig } from "../../devices/block/kind.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { CliProcess, runTinyCli, tinyArgs } from "../support/cli_process.ts";
import { blockSum, directRefusal, DiskDirectory } from "../support/disk_image.ts";
import { kvmTest, tinyReport } from "../support/kvm.ts";

const MIB = 2 ** 20;
// Feature bits, virtio 1.4, 5.2.3.
const RO = 1 << 5;
const FLUSH = 1 << 9;
const DISCARD = 1 << 13;
const WRITE_ZEROES = 1 << 14;

/** `blk-info`'s lines as a record. */
function fieldsOf(text: string): Record<string, string> {
  return Object.fromEntries(
    text.trimEnd().split("\n").map((line) => {
      const [name = "", ...rest] = line.split(" ");
      return [name, rest.join(" ")];
    }),
  );
}

/** The low 32 feature bits. */
function featuresOf(fields: Record<string, string>): number {
  return Number.parseInt((fields["features"] ?? "").slice(-8), 16);
}

kvmTest("a writable disk shows its size, its name as id, and all it can do", async () => {
  using directory = new DiskDirectory("fast");
  const disk = directory.empty("data.img", 3 * MIB + 512);
  const { code, stdout } = await runTinyCli("test=blk-info", ["--disk", disk]);
  const fields = fieldsOf(stdout);
  assertEquals(code, 0);
  assertEquals(fields["capacity"], String((3 * MIB + 512) / 512));
  assertEquals(fields["ro"], "0");
  assertEquals(fields["blk_size"], "512");
  assertEquals(fields["seg_max"], "254");
  assertEquals(fields["id"], "data.img");
  const wanted = FLUSH | DISCARD | WRITE_ZEROES;
  assertEquals(featuresOf(fields) & (wanted | RO), wanted);
});

kvmTest("a read-only disk says so, offers nothing that writes, and refuses writes", async () => {
  using directory = new DiskDirectory("fast");
  const disk = directory.random("root.img", MIB, 1);
  const before = blockSum(disk);
  const info = await runTinyCli("test=blk-info", ["--disk", `${disk},ro`]);
  const fields = fieldsOf(info.stdout);
  assertEquals(fields["ro"], "1");
  assertEquals(featuresOf(fields) & (RO | DISCARD | WRITE_ZEROES), RO);
  const write = await runTinyCli("test=blk-write sector=4 count=8", ["--disk", `${disk},ro`]);
  assertEquals(write.stdout, "error status 1 sector 4\n");
  assertEquals(write.code, 1);
  assertEquals(blockSum(disk), before);
});

kvmTest("id= is what the guest reads as the disk's serial number, all 20 bytes of it", async () => {
  using directory = new DiskDirectory("fast");
  const disk = directory.empty("data.img", MIB);
  for (const id of ["x", "twenty-characters-ab"]) {
    const { stdout } = await runTinyCli("test=blk-info", ["--disk", `${disk},id=${id}`]);
    assertEquals(fieldsOf(stdout)["id"], id);
  }
});

kvmTest("four disks come in the order of their flags", async () => {
  using directory = new DiskDirectory("fast");
  const flags = [1, 2, 3, 4].flatMap((n) => ["--disk", directory.empty(`d${n}`, n * MIB)]);
  for (const n of [0, 1, 2, 3]) {
    const { stdout } = await runTinyCli(`test=blk-info disk=${n}`, flags);
    const { capacity, id } = fieldsOf(stdout);
    assertEquals({ capacity, id }, { capacity: String((n + 1) * 2048), id: `d${n + 1}` });
  }
});

kvmTest("the most disks there is room for all work, the last one too", async () => {
  using directory = new DiskDirectory("fast");
  const flags = Array.from({ length: 31 }, (_, i) => directory.random(`d${i}`, 8192, i + 1));
  const disks = flags.flatMap((path) => ["--disk", path]);
  const { code, stdout, stderr } = await runTinyCli("test=blk-sum disk=30", disks);
  assertEquals(stdout || stderr, `sum ${blockSum(flags.at(-1) ?? "")} bytes 8192\n`);
  assertEquals(code, 0);
});

kvmTest("the whole of a 1 GiB disk reads as it is on the host", async () => {
  using directory = new DiskDirectory("fast");
  const disk = directory.random("big.img", 1024 * MIB, 7);
  const { code, stdout } = await runTinyCli("test=blk-sum qd=16", ["--disk", `${disk},ro`]);
  assertEquals(stdout, `sum ${blockSum(disk)} bytes ${1024 * MIB}\n`);
  assertEquals(code, 0);
}, { limitMs: 120_000 });

const direct = directRefusal();
for (const engine of ["sync", "io_uring"] as const) {
  for (const words of ["", "noevent", "noindirect", "noevent noindirect", "wantirq"]) {
    kvmTest(`engine ${engine} reads a whole disk${words && `, with ${words}`}`, async () => {
      await readsWhole({ engine, direct: false }, words);
    });
  }
  kvmTest(`engine ${engine} reads a whole disk past the page cache`, async () => {
    await readsWhole({ engine, direct: true }, "");
  }, { ignore: direct });
}

async function readsWhole(
  options: Pick<BlockConfig, "direct"> & Required<Pick<BlockConfig, "engine">>,
  words: string,
): Promise<void> {
  using directory = new DiskDirectory();
  const path = directory.random("disk.img", 16 * MIB, 3);
  const { exit, text } = await tinyReport(`test=blk-sum bs=64K ${words}`, [
    { kind: "block", path, readOnly: false, ...options },
  ]);
  const [sum, irq] = text.split("\n");
  assertEquals(sum, `sum ${blockSum(path)} bytes ${16 * MIB}`);
  if (words === "wantirq") assertEquals(irq, "interrupt 1");
  assertEquals(exit.status, 0);
}

kvmTest("every one of 100 reads raises an interrupt that the guest receives", async () => {
  using directory = new DiskDirectory();
  const path = directory.random("disk.img", MIB, 3);
  for (const engine of ["sync", "io_uring"] as const) {
    const { text } = await tinyReport("test=blk-irq count=100", [
      { kind: "block", path, readOnly: true, direct: false, engine },
    ]);
    assertEquals(text, "interrupts 100\n");
  }
});

kvmTest(
  "a disk that another machine writes is refused, one that both only read is not",
  async () => {
    using directory = new DiskDirectory();
    const path = directory.empty("disk.img", MIB);

    await using first = CliProcess.spawn(
      await tinyArgs("test=blk-write hang", ["--disk", path]),
    );
    await first.waitFor("written\n");
    const second = await runTinyCli("test=blk-info", ["--disk", `${path},ro`]);
    assertEquals({ code: second.code, stdout: second.stdout }, { code: 125, stdout: "" });
    assert(second.stderr.includes(path), second.stderr);
    assert(second.stderr.includes("another machine uses it"), second.stderr);
    first.kill("SIGTERM");
    await first.ended;
    await using reader = CliProcess.spawn(
      await tinyArgs("test=serial end=spin", ["--disk", `${path},ro`]),
    );
    await reader.waitFor("hello");
    assertEquals((await runTinyCli("test=blk-info", ["--disk", `${path},ro`])).code, 0);
  },
);
