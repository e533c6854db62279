/**
 * What `dinovisor doctor` says of networks: whether taps can be made, and whether there is a passt. Machines run without
 * either, so neither check ever fails.
 */
import { CAP_NET_ADMIN, O_RDWR } from "../abi/linux.ts";
import { openFile } from "../sys/fd.ts";
import { SysError } from "../sys/sys_error.ts";
import type { Finding } from "./host_checks.ts";

const TUN = "/dev/net/tun";
/** Where the child that becomes passt looks when the environment names no folders (src/sys/child.ts). */
const DEFAULT_PATH = "/usr/bin:/bin";

/** What `--net tap=…` and `--net user` find on this host. */
export function networkFindings(): Finding[] {
  return [
    tapFinding(tunProblem(), hasNetAdmin(readText("/proc/self/status"))),
    passtFinding(programPath("passt", Deno.env.get("PATH") ?? DEFAULT_PATH, isExecutable)),
  ];
}

/** Why the device that taps come from does not open; undefined when it does. */
function tunProblem(): string | undefined {
  try {
    using _tun = openFile(TUN, O_RDWR);
    return undefined;
  } catch (error) {
    if (error instanceof SysError) return error.message;
    throw error;
  }
}

/** Whether `--net tap=NAME` can make the tap, or only use one that is there. `problem` is why /dev/net/tun is closed. */
export function tapFinding(problem: string | undefined, isAdmin: boolean): Finding {
  const subject = "taps (--net tap=)";
  if (problem !== undefined) {
    return {
      state: "warn",
      subject,
      detail: `${problem}; machines run without a tap network`,
      hint: "load the module: sudo modprobe tun; in a container: --device /dev/net/tun",
    };
  }
  if (isAdmin) return { state: "ok", subject, detail: `${TUN} opens, and new taps can be made` };
  return {
    state: "warn",
    subject,
    detail: `${TUN} opens; without CAP_NET_ADMIN only taps that were made for your user work`,
    hint: 'make one: sudo ip tuntap add tap0 mode tap user "$USER" vnet_hdr',
  };
}

/** `path` is where passt was found. */
export function passtFinding(path: string | undefined): Finding {
  const subject = "passt (--net user)";
  if (path !== undefined) return { state: "ok", subject, detail: path };
  return {
    state: "warn",
    subject,
    detail: "not installed; machines run without a network for which nobody needs root",
    hint: "on Debian and Ubuntu: sudo apt-get install passt",
  };
}

/** Whether the effective capabilities in /proc/self/status have CAP_NET_ADMIN. */
export function hasNetAdmin(status: string): boolean {
  const digits = /^CapEff:\s*([\da-f]{1,16})$/m.exec(status)?.[1];
  return digits !== undefined && ((BigInt(`0x${digits}`) >> BigInt(CAP_NET_ADMIN)) & 1n) === 1n;
}

/** The first `name` in the folders of `path` (as in PATH) that `isProgram`; undefined when there is none. */
export function programPath(
  name: string,
  path: string,
  isProgram: (file: string) => boolean,
): string | undefined {
  return path.split(":").map((folder) => `${folder || "."}/${name}`).find(isProgram);
}

function isExecutable(file: string): boolean {
  try {
    const { isFile, mode } = Deno.statSync(file);
    return isFile && ((mode ?? 0) & 0o111) !== 0;
  } catch {
    return false;
  }
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
