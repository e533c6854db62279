/**
 * From exec to the guest's first sign of life and to the end of the process, whole process. Beside it what cannot be
 * saved: an empty module in Deno, and a C program that does no more than run the guest.
 */
import { buildKvmLoop } from "../kvm_loop.ts";
import { type Monitor, msUntil, runOnce } from "../monitors.ts";
import { bothMonitors, type Setting, tinyGuest } from "../setting.ts";
import { type Row, type Sampler, takeTurns } from "../table.ts";

const ROUNDS = 21;

export async function startRows(setting: Setting): Promise<Row[]> {
  const monitors = bothMonitors(setting);
  const idle = tinyGuest(setting.tiny, "test=idle");
  // The guest's first act that shows outside is a line on its serial port; it stays on, so only that is timed.
  const saying = tinyGuest(setting.tiny, "test=idle say end=hlt");
  const whole = (monitor: Monitor): Sampler => [
    monitor.name,
    async () => (await runOnce(monitor.command(idle))).ms,
  ];
  const first = (monitor: Monitor): Sampler => [
    monitor.name,
    () => msUntil("!\n", monitor.command(saying)),
  ];
  const bare: Sampler = ["deno, empty module", async () => {
    const empty = "data:application/javascript,";
    return (await runOnce([Deno.execPath(), "run", "-A", empty])).ms;
  }];
  const program = await buildKvmLoop();
  const loop: Sampler = [
    "C loop",
    async () => (await runOnce([program, setting.tiny, "64", "test=idle"])).ms,
  ];
  const common = { unit: "ms", better: "less" } as const;
  return [
    await takeTurns(
      { ...common, name: "exec to exit, idle guest", targets: [{ against: "QEMU", atMost: 0.8 }] },
      setting.rounds(ROUNDS),
      [...monitors.map(whole), bare, loop],
    ),
    await takeTurns(
      { ...common, name: "exec to the guest's first line" },
      setting.rounds(ROUNDS),
      monitors.map(first),
    ),
  ];
}
