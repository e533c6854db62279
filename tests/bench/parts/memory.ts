/** What a monitor keeps in memory beyond the pages its guests have touched: the first machine and each further one. */
import { heldMachines, heldProcess, overhead } from "../held.ts";
import { dinovisor, type Monitor, qemu } from "../monitors.ts";
import type { Setting } from "../setting.ts";
import { type Row, type Sampler, takeTurns } from "../table.ts";

const ROUNDS = 3;
const GUEST_MIB = 192;
const FURTHER = 4;

export async function memoryRows(setting: Setting): Promise<Row[]> {
  const guest = { kernel: setting.tiny, cmdline: "test=idle say end=hlt", memoryMib: GUEST_MIB };
  const one = (monitor: Monitor): Sampler => [monitor.name, async () => {
    await using held = await heldProcess(monitor.command(guest), "!\n");
    return await overhead(held.pid, GUEST_MIB);
  }];
  const many = async (count: number) => {
    await using held = await heldMachines(count, GUEST_MIB);
    return await overhead(held.pid, GUEST_MIB);
  };
  const further: Sampler = ["dinovisor", async () => {
    return (await many(1 + FURTHER) - await many(1)) / FURTHER;
  }];
  const monitors = [dinovisor(), ...(setting.hasQemu ? [qemu()] : [])];
  const common = { unit: "MiB", better: "less" } as const;
  return [
    await takeTurns(
      { ...common, name: "memory, first machine" },
      setting.rounds(ROUNDS),
      monitors.map(one),
    ),
    await takeTurns(
      { ...common, name: "memory, each further machine", targets: [{ atMost: 12 }] },
      setting.rounds(ROUNDS),
      [further],
    ),
  ];
}
