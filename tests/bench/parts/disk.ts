/** virtio-blk: random and sequential, in memory and on storage, through the page cache and past it. */
import { type BenchDisk, dinovisor, type Monitor, qemu } from "../monitors.ts";
import { type GuestResult, guestRow, MIB, rampWord, type Setting, tinyGuest } from "../setting.ts";
import type { Row, RowHead, Step, Target } from "../table.ts";
import { directRefusal, DiskDirectory } from "../../support/disk_image.ts";
import { LoopDevice, loopRefusal } from "../../support/loop_device.ts";
import { ZramDevice, zramRefusal } from "../../support/zram_device.ts";

const DISK_MIB = 512;
const QUICK_DISK_MIB = 64;
const ROUNDS = 3;
/** More of the work where it is fast, or it is over too soon. */
const FAST = 3;
/** What a guest reads that wants something small at once: monitors that compile have not, yet. */
const FIRST_READS = 1000;

const LOADS = [
  ...([["randread", 20_000, 100_000, 100_000], ["randwrite", 10_000, 50_000, 50_000]] as const)
    .flatMap(([mode, ...ops]) =>
      [1, 8, 32].map((depth, i) => ({ mode, depth, size: "4K", ops: ops[i] ?? 0, unit: "IOPS" }))
    ),
  { mode: "seqread", depth: 8, size: "128K", ops: 12_000, unit: "MiB/s" },
  { mode: "seqwrite", depth: 8, size: "128K", ops: 6_000, unit: "MiB/s" },
];
type Load = typeof LOADS[number];

interface Place {
  readonly name: string;
  readonly disk: BenchDisk;
  readonly others: readonly Monitor[];
  /** Of the work: less where everything is slower, more where it is over too soon. */
  readonly share: number;
}

export function tmpfsRows(setting: Setting): Promise<Row[]> {
  return placeRows(setting, "fast", "tmpfs", false, FAST);
}

export function cachedRows(setting: Setting): Promise<Row[]> {
  return placeRows(setting, "disk", "disk, cached", false, 0.5);
}

export async function directRows(setting: Setting): Promise<Row[]> {
  const refusal = directRefusal();
  if (refusal === undefined) return await placeRows(setting, "disk", "disk, O_DIRECT", true, 0.15);
  console.error(`disk with O_DIRECT left out: ${refusal}`);
  return [];
}

/** A disk that is as steady as memory and has a queue of requests as real ones have: what the others cannot show. */
export async function loopRows(setting: Setting): Promise<Row[]> {
  const refusal = loopRefusal();
  if (refusal !== undefined) {
    console.error(`loop device left out: ${refusal}`);
    return [];
  }
  using directory = new DiskDirectory("fast");
  using loop = new LoopDevice(randomImage(setting, directory));
  return await diskRows(
    setting,
    "loop device, O_DIRECT",
    { path: loop.path, direct: true },
    FAST,
  );
}

/** A block device that is memory: nothing but the way to it, with nobody else at work. */
export async function zramRows(setting: Setting): Promise<Row[]> {
  const refusal = zramRefusal();
  if (refusal !== undefined) {
    console.error(`zram left out: ${refusal}`);
    return [];
  }
  using zram = new ZramDevice((setting.quick ? QUICK_DISK_MIB : DISK_MIB) * MIB);
  return await diskRows(setting, "zram, O_DIRECT", { path: zram.path, direct: true }, FAST);
}

async function placeRows(
  setting: Setting,
  where: "disk" | "fast",
  name: string,
  direct: boolean,
  share: number,
): Promise<Row[]> {
  using directory = new DiskDirectory(where);
  const path = randomImage(setting, directory);
  using file = Deno.openSync(path, { read: true, write: true });
  file.syncDataSync(); // or the first to read past the cache waits for all of it to be written
  return await diskRows(setting, name, { path, direct }, share);
}

function randomImage(setting: Setting, directory: DiskDirectory): string {
  return directory.random("disk.img", (setting.quick ? QUICK_DISK_MIB : DISK_MIB) * MIB, 1);
}

async function diskRows(
  setting: Setting,
  name: string,
  disk: BenchDisk,
  share: number,
): Promise<Row[]> {
  const uring = qemu("io_uring", "stdio", "QEMU io_uring");
  // aio=native needs O_DIRECT.
  const others = disk.direct ? [qemu("native", "stdio", "QEMU native"), uring] : [uring];
  const place = { name, disk, others, share };
  const rows: Row[] = [];
  for (const load of LOADS) rows.push(await loadRow(setting, place, load));
  return [...rows, await firstReadsRow(setting, place)];
}

function loadRow(setting: Setting, place: Place, load: Load): Promise<Row> {
  const ops = Math.ceil(setting.amount(load.ops) * place.share);
  const words = `mode=${load.mode} bs=${load.size} qd=${load.depth} ops=${ops}`;
  const isRate = load.unit === "IOPS";
  const figure = (result: GuestResult, seconds: number) =>
    isRate ? result.ops / seconds : result.bytes / MIB / seconds;
  const columns = columnsOf(setting, place, `${words} ${rampWord(setting)}`);
  return guestRow(setting, headOf(place, load), ROUNDS, columns, figure);
}

/** What the ramp hides. */
function firstReadsRow(setting: Setting, place: Place): Promise<Row> {
  return guestRow(
    setting,
    { name: `first ${FIRST_READS} reads 4K QD32, ${place.name}`, unit: "ms", better: "less" },
    2 * ROUNDS,
    columnsOf(setting, place, `mode=randread bs=4K qd=32 ops=${FIRST_READS}`),
    (_, seconds) => seconds * 1000,
  );
}

function columnsOf(setting: Setting, { disk, others }: Place, words: string) {
  const guest = tinyGuest(setting.tiny, `test=blk-bench ${words}`, [disk]);
  const monitors = [dinovisor(), ...(setting.hasQemu ? others : [])];
  return monitors.map((monitor) => [monitor.name, monitor.command(guest)] as const);
}

function headOf(place: Place, load: Load): RowHead {
  const step: Step = { series: `${load.mode}, ${place.name}`, axis: "queue depth", x: load.depth };
  return {
    name: `${load.mode} ${load.size} QD${load.depth}, ${place.name}`,
    unit: load.unit,
    better: "more",
    targets: targetsOf(load),
    ...(load.unit === "IOPS" ? { step } : {}),
  };
}

function targetsOf({ depth, unit }: Load): Target[] {
  if (unit === "IOPS" && depth === 32) return [{ against: "QEMU", atLeast: 1.2 }];
  return unit === "IOPS" && depth === 8 ? [] : [{ against: "QEMU", atLeast: 1 }];
}
