/**
 * `deno task bench`: what the monitor costs, beside QEMU's microvm in the same run where that is installed. Figures
 * of different runs or machines say nothing about each other.
 *
 *     deno task bench [--json FILE] [--only PART,…] [--quick]
 */
import { ensureKernel, ensureRootImage } from "../../src/guest/mod.ts";
import { Machine } from "../../src/machine/machine.ts";
import { planMachine } from "../../src/machine/plan.ts";
import { buildTinyGuest } from "../guest/build.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { directRefusal } from "../support/disk_image.ts";
import { kvmRefusal, tinyConfig } from "../support/kvm.ts";
import { type BenchDisk, dinovisor, type Guest, type Monitor, msUntil } from "./monitors.ts";
import { qemu, qemuVersion, runOnce } from "./monitors.ts";
import { json, markdown, median, type Row, type Sampler, takeTurns } from "./table.ts";

const MIB = 2 ** 20;
const TINY_MIB = 64;
const LINUX_MIB = 128;
const DISK_MIB = 512;
/** What the default guest's shell prints when it is ready. */
const PROMPT = "~ # ";

interface Setting {
  readonly tiny: string;
  readonly hasQemu: boolean;
  /** Of the time-stamp counter. */
  readonly cyclesPerSecond: number;
  /** Scales how often things are measured. */
  readonly rounds: (full: number) => number;
}

type Part = (setting: Setting) => Promise<Row[]>;

const PARTS: Readonly<Record<string, Part>> = {
  start: startRows,
  exits: exitRows,
  blk: diskRows,
  linux: linuxRows,
};

function guest(tiny: string, cmdline: string, disk?: BenchDisk): Guest {
  const common = { kernel: tiny, cmdline, memoryMib: TINY_MIB };
  return disk === undefined ? common : { ...common, disk };
}

async function startRows({ tiny, hasQemu, rounds }: Setting): Promise<Row[]> {
  const idle = guest(tiny, "test=idle");
  const whole = (monitor: Monitor): Sampler => [
    monitor.name,
    async () => (await runOnce(monitor.command(idle))).ms,
  ];
  const bare: Sampler = ["deno run of an empty module", async () => {
    const empty = "data:application/javascript,";
    return (await runOnce([Deno.execPath(), "run", "-A", empty])).ms;
  }];
  const monitors = [dinovisor(), ...(hasQemu ? [qemu()] : [])];
  const config = await tinyConfig({ words: "test=idle" });
  const warm = async () => {
    const begin = performance.now();
    await using machine = await Machine.create(config);
    machine.start();
    await machine.exited;
    return performance.now() - begin;
  };
  await warm();
  return [
    await takeTurns("exec to exit, idle guest", "ms", rounds(21), [...monitors.map(whole), bare]),
    await takeTurns("next machine of a warm process", "ms", rounds(21), [["dinovisor", warm]]),
  ];
}

/** What the guest's result line says. */
interface Result {
  readonly ops: number;
  readonly bytes: number;
  readonly cycles: number;
}

async function result(monitor: Monitor, what: Guest): Promise<Result> {
  return JSON.parse((await runOnce(monitor.command(what))).stdout);
}

/** One row for a benchmark of the guest that prints its result, in microseconds each. */
function perOperation(
  setting: Setting,
  name: string,
  words: string,
  disk: BenchDisk,
): Promise<Row> {
  const take = (monitor: Monitor): Sampler => [monitor.name, async () => {
    const { ops, cycles } = await result(monitor, guest(setting.tiny, words, disk));
    return cycles / ops / setting.cyclesPerSecond * 1e6;
  }];
  const monitors = [dinovisor(), ...(setting.hasQemu ? [qemu()] : [])];
  return takeTurns(name, "µs", setting.rounds(5), monitors.map(take));
}

async function exitRows(setting: Setting): Promise<Row[]> {
  using directory = new DiskDirectory("fast");
  const disk = { path: directory.empty("disk.img", MIB), direct: false };
  const rows: Row[] = [];
  for (const ring of ["ring0", ""]) {
    const where = ring === "" ? "ring 3" : "ring 0";
    for (
      const [name, words] of [
        ["virtio register read", "test=mmio-bench"],
        ["interrupt status read", "test=mmio-bench reg=0x60"],
        ["kick of an empty queue", "test=kick-bench"],
      ] as const
    ) {
      const full = `${words} count=10000 ${ring}`;
      rows.push(await perOperation(setting, `${name}, ${where}`, full, disk));
    }
  }
  rows.push(await serialRow(setting));
  return rows;
}

/** A port write that exits: the difference between a run with many and one with none. */
async function serialRow({ tiny, hasQemu, rounds }: Setting): Promise<Row> {
  const bytes = 20_000;
  const run = (monitor: Monitor, count: number) =>
    runOnce(monitor.command(guest(tiny, `test=serial raw bytes=${count}`)));
  const take = (monitor: Monitor): Sampler => [monitor.name, async () => {
    const [none, many] = [await run(monitor, 0), await run(monitor, bytes)];
    return (many.ms - none.ms) / bytes * 1e3;
  }];
  const monitors = [
    dinovisor("dinovisor", ["--console", "file=/dev/null"]),
    ...(hasQemu ? [qemu("io_uring", "file:/dev/null")] : []),
  ];
  return await takeTurns("serial byte, ring 3", "µs", rounds(5), monitors.map(take));
}

const LOADS = [
  { name: "randread 4K QD1", words: "mode=randread bs=4096 qd=1", ops: 20_000, unit: "IOPS" },
  { name: "randread 4K QD32", words: "mode=randread bs=4096 qd=32", ops: 200_000, unit: "IOPS" },
  { name: "randwrite 4K QD32", words: "mode=randwrite bs=4096 qd=32", ops: 100_000, unit: "IOPS" },
  { name: "seqread 128K QD8", words: "mode=seqread bs=128K qd=8", ops: 16_000, unit: "MiB/s" },
] as const;

async function diskRows(setting: Setting): Promise<Row[]> {
  using memory = new DiskDirectory("fast");
  using storage = new DiskDirectory();
  const places = [{
    name: "tmpfs",
    disk: { path: memory.random("disk.img", DISK_MIB * MIB, 1), direct: false },
    others: [qemu("io_uring")],
    share: 1,
  }];
  const refusal = directRefusal();
  if (refusal === undefined) {
    places.push({
      name: "disk, O_DIRECT",
      disk: { path: storage.random("disk.img", DISK_MIB * MIB, 2), direct: true },
      others: [qemu("native", "stdio", "QEMU native"), qemu("io_uring", "stdio", "QEMU io_uring")],
      share: 0.2,
    });
  } else console.error(`disk with O_DIRECT left out: ${refusal}`);
  const rows: Row[] = [];
  for (const { name, disk, others, share } of places) {
    using file = Deno.openSync(disk.path);
    file.syncDataSync(); // or the first to read past the cache waits for all of it to be written
    for (const load of LOADS) {
      const words = `test=blk-bench ${load.words} ops=${load.ops * share}`;
      const take = (monitor: Monitor): Sampler => [monitor.name, async () => {
        const { ops, bytes, cycles } = await result(monitor, guest(setting.tiny, words, disk));
        const seconds = cycles / setting.cyclesPerSecond;
        return load.unit === "IOPS" ? ops / seconds : bytes / MIB / seconds;
      }];
      const monitors = [dinovisor(), ...(setting.hasQemu ? others : [])];
      const title = `${load.name}, ${name}`;
      rows.push(await takeTurns(title, load.unit, setting.rounds(5), monitors.map(take)));
    }
  }
  return rows;
}

async function linuxRows({ hasQemu, rounds }: Setting): Promise<Row[]> {
  const progress = {
    stage: (name: string) => console.error(`default guest: ${name}`),
    fraction() {},
  };
  const [kernel, root] = [await ensureKernel({ progress }), await ensureRootImage({ progress })];
  const disk = { path: root.path, direct: false, readOnly: true };
  const withWords = (console: "serial" | "auto"): Guest => {
    const plan = planMachine({
      kernel: { image: kernel.path, cmdline: "root=/dev/vda ro quiet" },
      memoryMib: LINUX_MIB,
      vcpus: 1,
      discovery: "cmdline",
      console: { mode: console },
      devices: [],
    });
    // Either monitor adds the words for its own devices.
    const words = plan.cmdline.split(" ").filter((word) => !word.startsWith("virtio_mmio."));
    return { kernel: kernel.path, cmdline: words.join(" "), memoryMib: LINUX_MIB, disk };
  };
  const serial = withWords("serial");
  const samplers: Sampler[] = [[
    "dinovisor",
    () => msUntil(PROMPT, dinovisor("", ["--console", "serial"]).command(serial)),
  ]];
  if (hasQemu) samplers.push(["QEMU", () => msUntil(PROMPT, qemu().command(serial))]);
  const auto = withWords("auto");
  samplers.push(["dinovisor on hvc0", () => msUntil(PROMPT, dinovisor().command(auto))]);
  return [await takeTurns("default guest to its shell, serial", "ms", rounds(5), samplers)];
}

/** Cycles of a guest that does exits for a second, over the time this takes beyond a run that does none. */
async function calibrate(tiny: string): Promise<number> {
  using directory = new DiskDirectory("fast");
  const disk = { path: directory.empty("disk.img", MIB), direct: false };
  const timed = async (count: number) => {
    const words = `test=mmio-bench reg=0x60 count=${count}`;
    const { ms, stdout } = await runOnce(dinovisor().command(guest(tiny, words, disk)));
    return { ms, cycles: (JSON.parse(stdout) as Result).cycles };
  };
  const samples: number[] = [];
  for (let i = 0; i < 3; i++) {
    const [few, many] = [await timed(1), await timed(20_000)];
    samples.push((many.cycles - few.cycles) / (many.ms - few.ms) * 1000);
  }
  return median(samples);
}

async function main(): Promise<number> {
  const args = [...Deno.args];
  const value = (flag: string) => {
    const at = args.indexOf(flag);
    return at < 0 ? undefined : args[at + 1];
  };
  const refusal = kvmRefusal();
  if (refusal !== undefined) {
    console.error(`nothing can be measured: ${refusal}`);
    return 1;
  }
  const version = await qemuVersion();
  if (version === undefined) console.error("QEMU left out: qemu-system-x86_64 is not installed");
  const tiny = await buildTinyGuest();
  const load = Deno.loadavg();
  const setting: Setting = {
    tiny,
    hasQemu: version !== undefined,
    cyclesPerSecond: await calibrate(tiny),
    rounds: (full) => args.includes("--quick") ? Math.max(1, Math.ceil(full / 5)) : full,
  };
  const rows: Row[] = [];
  for (const name of value("--only")?.split(",") ?? Object.keys(PARTS)) {
    const part = PARTS[name];
    if (part === undefined) throw new Error(`No part "${name}": ${Object.keys(PARTS).join(", ")}`);
    rows.push(...await part(setting));
  }
  const facts = {
    qemu: version ?? null,
    loadBefore: load[0],
    loadAfter: Deno.loadavg()[0],
    cpus: navigator.hardwareConcurrency,
    cyclesPerSecond: setting.cyclesPerSecond,
  };
  console.log(markdown(rows));
  console.log(
    `\nload ${facts.loadBefore?.toFixed(1)} before, ${facts.loadAfter?.toFixed(1)} after, on ` +
      `${facts.cpus} processors; ${version ?? "no QEMU"}`,
  );
  const path = value("--json");
  if (path !== undefined) Deno.writeTextFileSync(path, json(rows, facts));
  return 0;
}

if (import.meta.main) Deno.exit(await main());
