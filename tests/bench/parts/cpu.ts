/** Processor time of the whole process, guest included, for a GiB of block I/O: what its speed was bought with. */
import { bothMonitors, MIB, type Setting, tinyGuest } from "../setting.ts";
import { runOnce } from "../monitors.ts";
import { type Row, type Sampler, takeTurns } from "../table.ts";
import { DiskDirectory } from "../../support/disk_image.ts";

/** USER_HZ, in which /proc counts: 100 on every Linux. */
const TICKS_A_SECOND = 100;
/** proc_pid_stat(5): cutime and cstime are fields 16 and 17; the name before field 3 may hold spaces. */
const CUTIME_AFTER_NAME = 13;

/** Seconds on processors of all children that have ended and were waited for. */
function childSeconds(): number {
  const fields = Deno.readTextFileSync("/proc/self/stat").split(") ").at(-1)?.split(" ") ?? [];
  const [user, system] = fields.slice(CUTIME_AFTER_NAME, CUTIME_AFTER_NAME + 2).map(Number);
  return ((user ?? 0) + (system ?? 0)) / TICKS_A_SECOND;
}

async function cpuSeconds(command: readonly string[]): Promise<number> {
  const before = childSeconds();
  await runOnce(command);
  return childSeconds() - before;
}

export async function cpuRows(setting: Setting): Promise<Row[]> {
  using directory = new DiskDirectory("fast");
  const disk = { path: directory.random("disk.img", 256 * MIB, 4), direct: false };
  const rows: Row[] = [];
  for (
    const [name, words, size, gib] of [
      ["randread 4K QD32", "mode=randread bs=4K qd=32", 4096, 1],
      ["seqread 128K QD8", "mode=seqread bs=128K qd=8", 128 * 1024, 8],
    ] as const
  ) {
    const bytes = setting.amount(gib * 1024) * MIB;
    const guest = tinyGuest(setting.tiny, `test=blk-bench ${words} ops=${bytes / size}`, [disk]);
    const idle = tinyGuest(setting.tiny, "test=idle", [disk]);
    const take = (monitor: ReturnType<typeof bothMonitors>[number]): Sampler => [
      monitor.name,
      async () => {
        const start = await cpuSeconds(monitor.command(idle));
        return (await cpuSeconds(monitor.command(guest)) - start) / (bytes / 2 ** 30);
      },
    ];
    const head = { name: `CPU for a GiB, ${name}`, unit: "s", better: "less" } as const;
    rows.push(await takeTurns(head, setting.rounds(3), bothMonitors(setting).map(take)));
  }
  return rows;
}
