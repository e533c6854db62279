/**
 * The machine as plain data before anything is opened: the one fixed device tree (addresses, sizes, interrupts)
 * from which command-line words, ACPI tables and the flattened device tree are rendered (design.md 1.5).
 * `--dry-run` prints it, workers receive it, a snapshot will store it.
 */
import type { ConsoleConfig, DeviceConfig } from "../../devices/mod.ts";
import { architecture, type DeviceSlot, type DiscoveryMethod, type RamRange } from "../arch/mod.ts";
import type { ChannelConfig } from "../virtio/device_kind.ts";
import type { MachineConfig } from "./config.ts";
import { decideDiscovery } from "./discovery.ts";

/** One virtio device and its place. */
export interface PlannedDevice {
  /** As the user wrote it. */
  readonly config: DeviceConfig;
  /** Address window and interrupt line. */
  readonly slot: DeviceSlot;
}

/** Everything decided before KVM is touched; JSON. */
export interface MachinePlan {
  /** As `Deno.build.arch` spells it. */
  readonly architecture: string;
  /** What was planned for. */
  readonly config: MachineConfig;
  /** Guest-physical RAM, in bytes. */
  readonly ram: readonly RamRange[];
  /** Devices at fixed places: serial port, keyboard controller, clock, exit register. */
  readonly fixed: readonly DeviceSlot[];
  /** The virtio devices, in the order the guest finds them. */
  readonly devices: readonly PlannedDevice[];
  /** Where serial output goes. */
  readonly serial: ChannelConfig;
  /** How the guest is told about `devices`; never more than one way. */
  readonly discovery: DiscoveryMethod;
  /** Why that way, in words. */
  readonly discoveryReason: string;
  /** The kernel's command line, device words included. */
  readonly cmdline: string;
}

/**
 * Plans `config`, which `checkConfig` has found no fault with. Throws BootError. With `auto` discovery it reads the
 * kernel; it opens nothing else.
 */
export function planMachine(config: MachineConfig): MachinePlan {
  const arch = architecture();
  const devices = devicesOf(config).map((device, index) => ({
    config: device,
    slot: arch.virtioSlot(index, `${device.kind}${index}`),
  }));
  const cmdline = userCmdline(config);
  const { method, reason } = decideDiscovery(config, cmdline);
  return {
    architecture: arch.name,
    config,
    ram: arch.ramRanges(config.memoryMib * 2 ** 20),
    fixed: arch.fixedSlots,
    devices,
    serial: serialChannel(config),
    discovery: method,
    discoveryReason: reason,
    cmdline: method === "cmdline"
      ? withWords(cmdline, arch.deviceWords(devices.map((device) => device.slot)))
      : cmdline,
  };
}

/** The configured devices, and the console that `--console` asks for behind them. */
export function devicesOf(config: MachineConfig): readonly DeviceConfig[] {
  const { mode } = config.console;
  if (mode !== "auto" && mode !== "virtio") return config.devices;
  const console: ConsoleConfig = { kind: "console", ports: [{ channel: { type: "terminal" } }] };
  return [...config.devices, console];
}

function serialChannel(config: MachineConfig): ChannelConfig {
  switch (config.console.mode) {
    case "auto":
    case "serial":
      return { type: "terminal" };
    case "file":
      return { type: "file", path: config.console.path };
    case "virtio":
    case "off":
      return { type: "null" };
  }
}

/** The command line without the words that announce devices. */
export function userCmdline(config: MachineConfig): string {
  const { cmdline, cmdlineOnly } = config.kernel;
  const words = cmdlineOnly !== undefined
    ? [cmdlineOnly]
    : [architecture().defaultCmdline, ...consoleWords(config), cmdline ?? ""];
  return words.map((word) => word.trim()).filter((word) => word !== "").join(" ");
}

/** Appends `words` to what the kernel reads: a lone `--` begins the words for the guest's init. */
function withWords(line: string, words: readonly string[]): string {
  if (words.length === 0) return line;
  const end = line.search(/(?<=^|\s)--(?=\s|$)/);
  const [kernel, init] = end === -1 ? [line, ""] : [line.slice(0, end), line.slice(end)];
  return [kernel.trimEnd(), ...words, init].filter((part) => part !== "").join(" ");
}

/**
 * Linux takes the last console= it can open for /dev/console. The serial port is among the default words, whatever
 * becomes of its output: a panic is known by it (panic_watch.ts).
 */
function consoleWords(config: MachineConfig): string[] {
  const { mode } = config.console;
  return mode === "auto" || mode === "virtio" ? ["console=hvc0"] : [];
}
