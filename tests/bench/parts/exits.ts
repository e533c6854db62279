/** What a vCPU exit and a kick cost, beside QEMU and beside a C loop that runs the same guest (`kvm_loop.c`). */
import { buildKvmLoop } from "../kvm_loop.ts";
import { type BenchDisk, dinovisor, type Monitor, qemu, runOnce } from "../monitors.ts";
import { bothMonitors, guestRow, MIB, type Setting, tinyGuest } from "../setting.ts";
import { type Row, type Sampler, takeTurns } from "../table.ts";
import { DiskDirectory } from "../../support/disk_image.ts";

/** Far more than V8 takes to compile the loop: a third of 10,000 was spent before, a tenth of 30,000. */
const COUNT = 100_000;
const ROUNDS = 5;
/** Outside the guest's RAM, in the hole where both monitors have their devices. */
const C_REGISTER = "0xd0000000";
const C_NOTIFY = "0xd0000050";

const LOOPS = [
  { name: "MMIO exit round trip", words: "test=mmio-bench", kick: false },
  { name: "interrupt status read", words: "test=mmio-bench reg=0x60", kick: false },
  { name: "kick of an empty queue", words: "test=kick-bench", kick: true },
] as const;

export async function exitRows(setting: Setting): Promise<Row[]> {
  using directory = new DiskDirectory("fast");
  const disk = { path: directory.empty("disk.img", MIB), direct: false };
  const loop = await buildKvmLoop();
  const rows: Row[] = [];
  for (const ring of ["ring0", "ring3"]) {
    for (const kind of LOOPS) rows.push(await loopRow(setting, loop, disk, ring, kind));
  }
  rows.push(await serialRow(setting));
  return rows;
}

function loopRow(
  setting: Setting,
  loop: string,
  disk: BenchDisk,
  ring: string,
  { name, words, kick }: typeof LOOPS[number],
): Promise<Row> {
  const full = `${words} count=${setting.amount(COUNT)} ${ring}`;
  const place = kick ? C_NOTIFY : C_REGISTER;
  const columns = bothMonitors(setting).map(
    (monitor) => [monitor.name, monitor.command(tinyGuest(setting.tiny, full, [disk]))] as const,
  );
  const bare = [loop, setting.tiny, "64", `${full} at=${place}`, ...(kick ? [place] : [])];
  const head = {
    name: `${name}, ${ring}`,
    unit: "µs",
    better: "less",
    targets: kick ? [] : [{ against: "C loop", atMost: 1.1 }],
  } as const;
  const figure = ({ ops }: { ops: number }, seconds: number) => seconds / ops * 1e6;
  return guestRow(setting, head, ROUNDS, [...columns, ["C loop", bare]], figure);
}

/** A port write that exits: the difference between a run with many and one with none. */
async function serialRow({ tiny, hasQemu, rounds, amount }: Setting): Promise<Row> {
  const bytes = amount(20_000);
  const run = (monitor: Monitor, count: number) =>
    runOnce(monitor.command(tinyGuest(tiny, `test=serial raw bytes=${count}`)));
  const take = (monitor: Monitor): Sampler => [monitor.name, async () => {
    const [none, many] = [await run(monitor, 0), await run(monitor, bytes)];
    return (many.ms - none.ms) / bytes * 1e3;
  }];
  const monitors = [
    dinovisor("dinovisor", ["--console", "file=/dev/null"]),
    ...(hasQemu ? [qemu("io_uring", "file:/dev/null")] : []),
  ];
  const head = { name: "serial byte, ring3", unit: "µs", better: "less" } as const;
  return await takeTurns(head, rounds(ROUNDS), monitors.map(take));
}
