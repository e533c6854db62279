/** How start, I/O and memory grow with vCPUs, disks and machines. Queue depths are rows of `disk.ts`. */
import { heldMachines, overhead } from "../held.ts";
import { type Monitor, runOnce } from "../monitors.ts";
import { bothMonitors, guestRow, MIB, rampWord, type Setting, tinyGuest } from "../setting.ts";
import { type Row, type Sampler, takeTurns } from "../table.ts";
import { commandLine } from "../../support/cli_process.ts";
import { DiskDirectory } from "../../support/disk_image.ts";

const WARM = new URL("../warm_process.ts", import.meta.url).pathname;
const GUEST_MIB = 192;
const DISK_MIB = 64;
const OPS = 100_000;

export async function vcpuRows(setting: Setting): Promise<Row[]> {
  const rows: Row[] = [];
  for (const vcpus of [1, 2, 4]) rows.push(await startRow(setting, vcpus));
  return rows;
}

export async function disksRows(setting: Setting): Promise<Row[]> {
  using directory = new DiskDirectory("fast");
  const paths = images(directory, 4);
  const rows: Row[] = [];
  for (const disks of [1, 2, 4]) rows.push(await disksRow(setting, paths.slice(0, disks)));
  return rows;
}

export async function machinesRows(setting: Setting): Promise<Row[]> {
  using directory = new DiskDirectory("fast");
  const paths = images(directory, 8);
  const rows: Row[] = [];
  for (const vms of [1, 2, 4, 8]) {
    rows.push(await machinesRow(setting, paths.slice(0, vms)), ...await heldRows(setting, vms));
  }
  return rows;
}

function images(directory: DiskDirectory, count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) => directory.random(`${i}.img`, DISK_MIB * MIB, i + 1),
  );
}

function startRow(setting: Setting, vcpus: number): Promise<Row> {
  const idle = tinyGuest(setting.tiny, "test=idle", [], vcpus);
  const take = (monitor: Monitor): Sampler => [
    monitor.name,
    async () => (await runOnce(monitor.command(idle))).ms,
  ];
  return takeTurns(
    {
      name: `exec to exit, vCPUs: ${vcpus}`,
      unit: "ms",
      better: "less",
      step: { series: "exec to exit", axis: "vCPUs", x: vcpus },
    },
    setting.rounds(7),
    bothMonitors(setting).map(take),
  );
}

/** One vCPU feeds all disks, each with its own queue depth of 32. */
function disksRow(setting: Setting, paths: readonly string[]): Promise<Row> {
  const disks = paths.map((path) => ({ path, direct: false }));
  const words = `test=blk-bench bs=4K qd=32 ops=${setting.amount(OPS)} disks=${disks.length} ${
    rampWord(setting)
  }`;
  const guest = tinyGuest(setting.tiny, words, disks);
  const columns = bothMonitors(setting).map(
    (monitor) => [monitor.name, monitor.command(guest)] as const,
  );
  return guestRow(
    setting,
    {
      name: `randread 4K QD32, disks: ${disks.length}, tmpfs`,
      unit: "IOPS",
      better: "more",
      step: { series: "randread, one guest, all disks", axis: "disks", x: disks.length },
    },
    3,
    columns,
    ({ ops }, seconds) => ops / seconds,
  );
}

/** Machines of one process, each with a disk: IOPS of all, start and end of the guests included. */
function machinesRow({ rounds, amount }: Setting, paths: readonly string[]): Promise<Row> {
  const ops = amount(OPS);
  const words = `test=blk-bench bs=4K qd=32 ops=${ops}`;
  const take: Sampler = ["dinovisor", async () => {
    const { stdout } = await runOnce(commandLine(["work", words, ...paths], WARM));
    return paths.length * ops / (JSON.parse(stdout).ms / 1000);
  }];
  return takeTurns(
    {
      name: `randread 4K QD32, machines of a process: ${paths.length}, tmpfs`,
      unit: "IOPS",
      better: "more",
      step: { series: "randread, machines of a process", axis: "VMs", x: paths.length },
    },
    rounds(3),
    [take],
  );
}

async function heldRows({ rounds }: Setting, vms: number): Promise<Row[]> {
  const starts: number[] = [];
  const take: Sampler = ["dinovisor", async () => {
    await using held = await heldMachines(vms, GUEST_MIB);
    starts.push(JSON.parse(held.output).ms);
    return await overhead(held.pid, GUEST_MIB);
  }];
  const row = (name: string, unit: string) => ({
    name: `${name}, machines of a process: ${vms}`,
    unit,
    better: "less" as const,
    step: { series: `${name}, machines of a process`, axis: "VMs", x: vms },
  });
  const memory = await takeTurns(row("memory", "MiB"), rounds(3), [take]);
  return [memory, { ...row("start of all", "ms"), samples: new Map([["dinovisor", starts]]) }];
}
