/** Interrupts a second: a guest in ring 0 that sleeps in `hlt` until the disk's interrupt, one sector at a time. */
import { bothMonitors, guestRow, MIB, type Setting, tinyGuest } from "../setting.ts";
import type { Row } from "../table.ts";
import { DiskDirectory } from "../../support/disk_image.ts";

const COUNT = 3000;

export async function interruptRows(setting: Setting): Promise<Row[]> {
  using directory = new DiskDirectory("fast");
  const disk = { path: directory.random("disk.img", MIB, 3), direct: false };
  const guest = tinyGuest(setting.tiny, `test=blk-irq timed count=${setting.amount(COUNT)}`, [
    disk,
  ]);
  const head = { name: "interrupts, one request each", unit: "/s", better: "more" } as const;
  const columns = bothMonitors(setting).map(
    (monitor) => [monitor.name, monitor.command(guest)] as const,
  );
  return [await guestRow(setting, head, 5, columns, ({ ops }, seconds) => ops / seconds)];
}
