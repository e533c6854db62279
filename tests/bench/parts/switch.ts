/**
 * Two machines of this process on its switch: what one sends without rest, and what of that the other receives. The
 * guests poll, so that with the I/O threads and the switch five threads want a processor: on fewer, they are what is
 * measured. QEMU has no such switch: ours only.
 */
import { Switch } from "../../../src/machine/switch.ts";
import { processorMs } from "../../support/host_state.ts";
import { until } from "../../support/kvm.ts";
import { NetGuest } from "../../support/net_guest.ts";
import type { GuestResult, Setting } from "../setting.ts";
import { announce, type Row } from "../table.ts";

const FRAMES = 300_000;
const ROUNDS = 3;
const COLUMN = "dinovisor";
/** More than is sent in any run. */
const WITHOUT_END = 1e12;
const LIMIT_MS = 120_000;

/** One run. */
interface Transfer {
  readonly framesPerSecond: number;
  readonly gigabytesPerSecond: number;
  /** Of the whole process, guests included, for each gigabyte received. */
  readonly processorSecondsPerGigabyte: number;
}

export async function switchRows(setting: Setting): Promise<Row[]> {
  const rows: Row[] = [];
  for (const size of [60, 1514]) {
    const transfers: Transfer[] = [];
    for (let i = 0; i < setting.rounds(ROUNDS); i++) {
      transfers.push(await transfer(setting, size, setting.amount(FRAMES)));
    }
    const row = (unit: string, better: Row["better"], pick: (one: Transfer) => number): Row =>
      announce({
        name: `${size} B through the switch`,
        unit,
        better,
        samples: new Map([[COLUMN, transfers.map(pick)]]),
      });
    rows.push(
      row("packets/s", "more", ({ framesPerSecond }) => framesPerSecond),
      row("GB/s", "more", ({ gigabytesPerSecond }) => gigabytesPerSecond),
      row("processor s/GB", "less", (one) => one.processorSecondsPerGigabyte),
    );
  }
  return rows;
}

async function transfer(setting: Setting, size: number, frames: number): Promise<Transfer> {
  await using lan = new Switch();
  const words = `size=${size} count=`;
  await using receiver = await NetGuest.start(lan.backend, `test=net-receive ${words}${frames}`);
  await until("the receiver is ready", () => receiver.text.includes("ready"), LIMIT_MS);
  const processor = processorMs();
  await using _ = await NetGuest.start(lan.backend, `test=net-send ${words}${WITHOUT_END}`);
  const text = await receiver.end();
  const processorSeconds = (processorMs() - processor) / 1000;
  const { ops, bytes, cycles }: GuestResult = JSON.parse(text.slice(text.indexOf("{")));
  const seconds = cycles / setting.cyclesPerSecond;
  return {
    framesPerSecond: ops / seconds,
    gigabytesPerSecond: bytes / 1e9 / seconds,
    processorSecondsPerGigabyte: processorSeconds / (bytes / 1e9),
  };
}
