/** From the settings of `dinovisor run` to a machine's configuration. Pure. */
import type { ConsoleConfigMode, KernelConfig, MachineConfig } from "../machine/config.ts";
import type { Problem } from "../virtio/device_kind.ts";
import { DHCP_WORD, type GuestFiles, ROOT_WORDS, rootDisk } from "../guest/default_guest.ts";
import type { RunSettings } from "./run_settings.ts";

/** The default guest, and the word that makes it run a command. */
export interface GuestSetup extends GuestFiles {
  readonly commandWord?: string;
}

/**
 * No kernel log but for what ends the machine. `quiet` alone lets errors through (CONSOLE_LOGLEVEL_QUIET is 4), and
 * stock kernels call it an error that a machine has no PCI.
 */
const QUIET = "quiet loglevel=3";

/** Bytes of a kernel command line without its final NUL (COMMAND_LINE_SIZE of Linux). */
const CMDLINE_BYTES = 2047;

/**
 * The machine that `settings` describe. With `guest` its disk comes first, as /dev/vda, and the user's follow;
 * without, nothing is added to what the user asked for.
 */
export function machineConfig(settings: RunSettings, guest?: GuestSetup): MachineConfig {
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
      ...(settings.vsock === undefined ? [] : [settings.vsock]),
      ...(settings.rng === undefined ? [] : [settings.rng]), // behind the disks: /dev/vda stays what it is
    ],
  };
}

/**
 * The default guest comes to hvc0, unless the user took that word away. With a kernel of ours, which needs no initramfs,
 * its terminal does not echo before init says so (0005-no-early-echo.patch); stock kernels echo from the start.
 */
function consoleOf(
  { console, cmdlineOnly, kernel }: RunSettings,
  guest: GuestSetup | undefined,
): ConsoleConfigMode {
  if (console.mode !== "auto" || guest === undefined || cmdlineOnly !== undefined) return console;
  const isOurs = kernel === undefined && guest.initrd === undefined;
  return { mode: "auto", input: "virtio", ...(isOurs ? { takesTypeAhead: true } : {}) };
}

function kernelConfig(settings: RunSettings, guest: GuestSetup | undefined): KernelConfig {
  const { cmdline, cmdlineOnly } = settings;
  const initrd = settings.initrd ?? guest?.initrd;
  // The user's words come last: of two `root=` the kernel takes the last one.
  const words = guest === undefined ? [cmdline] : [...guestWords(settings), cmdline];
  const added = cmdlineOnly === undefined ? words : [];
  const replaced = cmdlineOnly === undefined ? [] : [cmdlineOnly];
  (cmdlineOnly === undefined ? added : replaced).push(guest?.commandWord);
  return {
    image: settings.kernel ?? guest?.kernel ?? "",
    ...(initrd === undefined ? {} : { initrd }),
    ...(added.some(isWord) ? { cmdline: added.filter(isWord).join(" ") } : {}),
    ...(replaced.some(isWord) ? { cmdlineOnly: replaced.filter(isWord).join(" ") } : {}),
  };
}

function guestWords(settings: RunSettings): string[] {
  // A command's output shares the console with the kernel's log, so that stays quiet for commands.
  const quiet = !settings.verbose || settings.command !== undefined;
  const isServed = settings.nets.some(({ backend }) => backend.type === "user");
  return [
    quiet ? `${ROOT_WORDS} ${QUIET}` : ROOT_WORDS,
    ...(isServed ? [DHCP_WORD] : []), // passt answers it; on a tap, who knows
  ];
}

function isWord(word: string | undefined): word is string {
  return word !== undefined && word !== "";
}

/**
 * Says so in terms of the command when that is what makes `cmdline`, the planned kernel command line, too long.
 */
export function commandProblems(cmdline: string, word: string | undefined): Problem[] {
  if (word === undefined) return [];
  const over = new TextEncoder().encode(cmdline).length - CMDLINE_BYTES;
  if (over <= 0) return [];
  // Base64 makes four bytes of three.
  const bytes = Math.ceil(over * 3 / 4);
  return [{
    field: "--",
    code: "CMD_TOO_LONG",
    message: `Cannot pass the command to the guest: it is ${bytes} bytes too long`,
    hint: "put it into a script on a disk and run that: " +
      "dinovisor run --disk x.img,ro -- sh -c 'mount /dev/vdb /mnt && sh /mnt/job'",
  }];
}
