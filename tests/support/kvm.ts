/**
 * Integration tests: `kvmTest` registers a test that needs /dev/kvm, and the tiny guest as a machine in this
 * process. Used by everything in `tests/integration`.
 */
import type { DeviceConfig } from "../../devices/mod.ts";
import type { ConsoleConfigMode, Discovery, MachineConfig } from "../../src/machine/config.ts";
import type { MachineExit } from "../../src/machine/exit.ts";
import { Machine } from "../../src/machine/machine.ts";
import type { MachineEvents } from "../../src/machine/machine_options.ts";
import { ensuredGuest } from "../../src/guest/default_guest.ts";
import { hostGuestChoice } from "../../src/guest/guest_choice.ts";
import type { BuildProgress } from "../../src/guest/mod.ts";
import { buildTinyGuest } from "../guest/build.ts";

const KVM = "/dev/kvm";
/** Far above what any test needs on a busy two-core machine: a hang must fail, slowness must not. */
const LIMIT_MS = 60_000;

/** How many times as long everything may take: the lab (`deno task lab`) sets it, a host under TCG. */
export const SLOWNESS = Number(Deno.env.get("DINOVISOR_TEST_SLOWNESS") ?? 1);

export interface KvmTestOptions {
  readonly limitMs?: number;
  /** A reason not to run, found out when the file was loaded. */
  readonly ignore?: string | undefined;
}

const said = new Set<string>();

/** Registers `work` as a test, or as an ignored one with the reason printed (once for each file). */
export function kvmTest(
  name: string,
  work: () => void | Promise<void>,
  { limitMs = LIMIT_MS, ignore }: KvmTestOptions = {},
): void {
  const reason = kvmRefusal() ?? ignore;
  if (reason !== undefined && !said.has(reason)) {
    said.add(reason);
    console.log(`ignored: ${reason}`);
  }
  // Idle workers are no leak, but they look like one to Deno.
  const run = async () => await work();
  const fn = () => within(limitMs, name, run()).finally(Machine.endIdleThreads);
  Deno.test({ name, ignore: reason !== undefined, fn });
}

let refusal: string | undefined | null = null;

/** Why /dev/kvm cannot be used here; undefined when it can. */
export function kvmRefusal(): string | undefined {
  return refusal === null ? refusal = openKvm() : refusal;
}

function openKvm(): string | undefined {
  try {
    Deno.openSync(KVM, { read: true, write: true }).close();
    return undefined;
  } catch (error) {
    return `${KVM} cannot be opened: ${error instanceof Error ? error.message : error}`;
  }
}

/** `work`, or a failure when it takes longer than `limitMs` (on a slow host: longer in proportion). */
export async function within<T>(limitMs: number, what: string, work: Promise<T>): Promise<T> {
  const ms = limitMs * SLOWNESS;
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${what}: no end after ${ms} ms`)), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Looks until `done` says yes; fails with `what` after `limitMs` (on a slow host: longer in proportion). */
export async function until(
  what: string,
  done: () => boolean | Promise<boolean>,
  limitMs = 10_000,
): Promise<void> {
  const ms = limitMs * SLOWNESS;
  const deadline = performance.now() + ms;
  while (!await done()) {
    if (performance.now() > deadline) throw new Error(`Waited ${ms} ms in vain until ${what}`);
    await delay(5);
  }
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** How a tiny guest is to be built into a machine. */
export interface TinySettings {
  /** Words for the guest: `test=idle status=7`. */
  readonly words: string;
  readonly devices?: readonly DeviceConfig[];
  readonly console?: ConsoleConfigMode;
  readonly memoryMib?: number;
  readonly vcpus?: number;
  readonly discovery?: Discovery;
}

export async function tinyConfig(settings: TinySettings): Promise<MachineConfig> {
  return {
    kernel: { image: await buildTinyGuest(), cmdline: settings.words },
    memoryMib: settings.memoryMib ?? 64,
    vcpus: settings.vcpus ?? 1,
    discovery: settings.discovery ?? "cmdline",
    console: settings.console ?? { mode: "off" },
    devices: settings.devices ?? [],
  };
}

/** Boots a tiny guest in this process and waits for its end. */
export async function runTiny(
  settings: TinySettings,
  events?: MachineEvents,
): Promise<MachineExit> {
  await using machine = await Machine.create(await tinyConfig(settings), {
    ...(events === undefined ? {} : { events }),
  });
  machine.start();
  return await machine.exited;
}

/** The same, with what the guest printed on its serial port. */
export async function tinyReport(
  words: string,
  devices: readonly DeviceConfig[] = [],
  vcpus = 1,
): Promise<{ readonly exit: MachineExit; readonly text: string }> {
  const path = Deno.makeTempFileSync({ prefix: "dinovisor-serial-" });
  try {
    const exit = await runTiny({ words, devices, vcpus, console: { mode: "file", path } });
    return { exit, text: Deno.readTextFileSync(path) };
  } finally {
    Deno.removeSync(path);
  }
}

/** What a boot of the default guest may take, and on the first call of a machine's life its build. */
const LINUX_LIMIT_MS = 20 * 60_000;

/** A test with the default guest, which is made first where the cache has none. `ignore`: why it cannot be run. */
export function linuxTest(name: string, work: () => Promise<void>, ignore?: string): void {
  const withGuest = async () => {
    await ensureDefaultGuest();
    await work();
  };
  kvmTest(name, withGuest, { limitMs: LINUX_LIMIT_MS, ignore });
}

async function ensureDefaultGuest(): Promise<void> {
  const stage = (name: string) => console.log(`default guest: ${name}`);
  const progress: BuildProgress = { stage, fraction() {} };
  await ensuredGuest(hostGuestChoice().kind, { progress });
}
