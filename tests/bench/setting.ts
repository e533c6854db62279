/** What every part of the benchmarks is given, and what they share: guests, both monitors, the guest's result line. */
import { buildKvmLoop } from "./kvm_loop.ts";
import { type BenchDisk, dinovisor, type Guest, type Monitor, qemu, runOnce } from "./monitors.ts";
import { type Row, type RowHead, type Sampler, takeTurns } from "./table.ts";

export const MIB = 2 ** 20;
const TINY_MIB = 64;
const RAMP_SECONDS = 0.5;

/** One subject: returns its rows. */
export type Part = (setting: Setting) => Promise<Row[]>;

export interface Setting {
  /** The path of the tiny guest. */
  readonly tiny: string;
  readonly hasQemu: boolean;
  readonly quick: boolean;
  /** Of the time-stamp counter. */
  readonly cyclesPerSecond: number;
  /** How often something is measured that a full run measures `full` times. */
  rounds(full: number): number;
  /** How much of something is done in one sample where a full run does `full`. */
  amount(full: number): number;
}

export function newSetting(facts: Omit<Setting, "rounds" | "amount">): Setting {
  return {
    ...facts,
    rounds: (full) => facts.quick ? Math.max(1, Math.ceil(full / 5)) : full,
    amount: (full) => facts.quick ? Math.ceil(full / 10) : full,
  };
}

/** A machine with the tiny guest. */
export function tinyGuest(
  tiny: string,
  cmdline: string,
  disks: readonly BenchDisk[] = [],
  vcpus = 1,
): Guest {
  return { kernel: tiny, cmdline, memoryMib: TINY_MIB, disks, vcpus };
}

/** Ours and, where it is installed, QEMU. */
export function bothMonitors({ hasQemu }: Setting): Monitor[] {
  return [dinovisor(), ...(hasQemu ? [qemu()] : [])];
}

/** How long a load runs before it counts, in the words of the guest: compilers and caches have settled by then. */
export function rampWord({ cyclesPerSecond, amount }: Setting): string {
  return `ramp=${amount(Math.round(RAMP_SECONDS * cyclesPerSecond))}`;
}

/** What the guest's result line says. */
export interface GuestResult {
  readonly ops: number;
  readonly bytes: number;
  readonly cycles: number;
}

/** Runs `command` to its end and reads the guest's result line. */
export async function guestResult(command: readonly string[]): Promise<GuestResult> {
  const { stdout } = await runOnce(command);
  const line = stdout.split("\n").find((text) => text.startsWith("{"));
  if (line === undefined) throw new Error(`no result from ${command.join(" ")}: ${stdout}`);
  return JSON.parse(line);
}

/** A row of what the guest measured itself, `figure` made of it, for every monitor. */
export function guestRow(
  setting: Setting,
  head: RowHead,
  rounds: number,
  columns: readonly (readonly [name: string, command: readonly string[]])[],
  figure: (result: GuestResult, seconds: number) => number,
): Promise<Row> {
  const samplers = columns.map(([name, command]): Sampler => [name, async () => {
    const result = await guestResult(command);
    return figure(result, result.cycles / setting.cyclesPerSecond);
  }]);
  return takeTurns(head, setting.rounds(rounds), samplers);
}

/** How fast the time-stamp counter of a guest runs, from KVM itself (KVM_GET_TSC_KHZ). */
export async function guestCyclesPerSecond(): Promise<number> {
  const { stdout } = await runOnce([await buildKvmLoop()]);
  const khz = Number(stdout);
  if (!(khz > 0)) throw new Error(`KVM says the guest's time-stamp counter runs at ${stdout} kHz`);
  return khz * 1000;
}
