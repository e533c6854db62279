/** From the settings of `dinovisor run` to a machine's configuration. Pure. */
import type { ConsoleConfigMode, KernelConfig, MachineConfig } from "../machine/config.ts";
import {
  AGENT_WORD,
  DHCP_WORD,
  type GuestFiles,
  rootDisk,
  rootWords,
  startsAgent,
} from "../guest/default_guest.ts";
import type { RunSettings } from "./run_settings.ts";

/**
 * No kernel log but for what ends the machine. `quiet` alone lets errors through (CONSOLE_LOGLEVEL_QUIET is 4), and
 * stock kernels call it an error that a machine has no PCI.
 */
const QUIET = "quiet loglevel=3";

/** Where the agent is reached unless the user says otherwise: the first id that is no host's. */
const AGENT_VSOCK = { kind: "vsock", cid: 3 } as const;

/**
 * The machine that `settings` describe. With `guest` its disk comes first, as /dev/vda, and the user's follow;
 * without, nothing is added to what the user asked for.
 */
export function machineConfig(settings: RunSettings, guest?: GuestFiles): MachineConfig {
  const vsock = settings.vsock ?? (settings.command === undefined ? undefined : AGENT_VSOCK);
  return {
    kernel: kernelConfig(settings, guest),
    memoryMib: settings.memoryMib,
    vcpus: settings.vcpus,
    discovery: settings.discovery,
    console: consoleOf(settings, guest),
    devices: [
      ...(guest === undefined ? [] : [rootDisk(guest)]),
      ...settings.disks,
      ...settings.nets,
      ...(vsock === undefined ? [] : [vsock]),
      ...(settings.rng === undefined ? [] : [settings.rng]), // behind the disks: /dev/vda stays what it is
    ],
  };
}

/**
 * The default guest's kernel comes to hvc0, and with it what runs on its console, unless the user took that word away.
 * With a kernel of ours, which needs no initramfs, the terminal does not echo before an init of ours says so
 * (0005-no-early-echo.patch); stock kernels echo from the start, and another init may throw away what is there already.
 */
function consoleOf(
  { console, cmdlineOnly, kernel }: RunSettings,
  guest: GuestFiles | undefined,
): ConsoleConfigMode {
  if (console.mode !== "auto" || guest === undefined || cmdlineOnly !== undefined) return console;
  if (kernel !== undefined) return console; // who knows where theirs goes
  const isOurs = guest.initrd === undefined && startsAgent(guest);
  return { mode: "auto", input: "virtio", ...(isOurs ? { takesTypeAhead: true } : {}) };
}

function kernelConfig(settings: RunSettings, guest: GuestFiles | undefined): KernelConfig {
  const { cmdline, cmdlineOnly } = settings;
  const initrd = settings.initrd ?? guest?.initrd;
  // The user's words come last: of two `root=` the kernel takes the last one.
  const words = guest === undefined ? [cmdline] : [...guestWords(settings, guest), cmdline];
  const added = cmdlineOnly === undefined ? words : [];
  const replaced = cmdlineOnly === undefined ? [] : [cmdlineOnly];
  if (settings.command !== undefined) {
    (cmdlineOnly === undefined ? added : replaced).push(AGENT_WORD);
  }
  return {
    image: settings.kernel ?? guest?.kernel ?? "",
    ...(initrd === undefined ? {} : { initrd }),
    ...(added.some(isWord) ? { cmdline: added.filter(isWord).join(" ") } : {}),
    ...(replaced.some(isWord) ? { cmdlineOnly: replaced.filter(isWord).join(" ") } : {}),
  };
}

function guestWords(settings: RunSettings, guest: GuestFiles): string[] {
  const isServed = settings.nets.some(({ backend }) => backend.type === "user");
  return [
    settings.verbose ? rootWords(guest) : `${rootWords(guest)} ${QUIET}`,
    ...(isServed ? [DHCP_WORD] : []), // passt answers it; on a tap, who knows
  ];
}

function isWord(word: string | undefined): word is string {
  return word !== undefined && word !== "";
}
