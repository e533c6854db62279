/** What a sandbox is made from, and the machine that comes of it. */
import type { DeviceConfig, MachineConfig, NetConfig, Problem, Switch } from "../machine/mod.ts";
import { LIMITS } from "../machine/mod.ts";
import {
  AGENT_WORD,
  DHCP_WORD,
  type GuestFiles,
  hostnameWords,
  rootDisk,
  rootWords,
  startsAgent,
} from "../guest/default_guest.ts";
import type { CarriedKind } from "./carried_agent.ts";
import { ConfigError } from "./errors.ts";
import { hostPath } from "./host_path.ts";
import type { RootfsInit } from "./rootfs_options.ts";
import { type Size, sizeOf } from "./size.ts";

/** A disk of the guest's. */
export interface DiskInit {
  /** A raw image or a block device. */
  readonly path: string | URL;
  /** The guest may not write. */
  readonly readonly?: boolean;
  /** The guest may write, and the file stays as it is: what is written is gone with the machine. Machines may share the file. */
  readonly overlay?: boolean;
  /** What the guest reads as its serial number; ASCII, at most 20 characters. */
  readonly id?: string;
}

/** A network card. */
export type NetInit =
  /** Out through the host's own network, by passt; the default guest has its address when it is up. */
  | { readonly mode?: "user"; readonly mac?: string }
  /** An interface of the host. */
  | { readonly mode: "tap"; readonly tap: string; readonly mac?: string }
  /** To other machines of this program. */
  | { readonly mode: "switch"; readonly switch: Switch; readonly mac?: string };

/** Ports of the host, and those of the guest that they lead to. */
export type Ports = Readonly<Record<number, number>>;

/** A sandbox. Everything may be left out. */
export interface VmOptions {
  /** A kernel of your own; the default guest's when left out. With an initrd it is given an agent. */
  readonly kernel?: string | URL;
  /**
   * Its root: a directory, an archive, an OCI image or a disk image; a path alone is told by its content. The first time
   * takes some seconds, for an image of it is made. A small one with a shell when left out.
   */
  readonly rootfs?: string | URL | RootfsInit;
  /** Its initial RAM disk. */
  readonly initrd?: string | URL;
  /** More words for the kernel. */
  readonly cmdline?: string | readonly string[];
  /** RAM; 128 MiB when left out. */
  readonly memory?: Size;
  /** vCPUs; 1 when left out. */
  readonly cpus?: number;
  /** For people, and `Vm.name`. */
  readonly name?: string;
  /** Ends the machine when it is aborted, also while it boots: `Vm.boot` rejects with its reason then. */
  readonly signal?: AbortSignal;
  /** Variables of every command. */
  readonly env?: Readonly<Record<string, string>>;
  /** Who every command is that does not say it: see `GuestCommandOptions.user`. */
  readonly user?: string | number;
  /** Disks, behind the default guest's root (/dev/vda): the first is /dev/vdb there, /dev/vda with a kernel of your own. */
  readonly disks?: readonly DiskInit[];
  /** No card when left out. */
  readonly net?: false | NetInit;
  /** Ports of the host that lead to ports of the guest, on 127.0.0.1; with `net: {mode: "user"}`. */
  readonly ports?: Ports;
  /** The guest's context id and a socket for other programs; each may be left out. */
  readonly vsock?: { readonly cid?: number; readonly path?: string | URL };
  /**
   * How commands and files get into the guest. The default guest has an agent for vsock. A kernel of your own with an
   * initrd is given one, behind the initrd, and started beside its first program: with `vsock` a program that needs a driver
   * for virtio-vsock there, with `sh` a script that needs a driver for virtio consoles and busybox in the initrd, and that
   * knows no terminals, other users, or ports of the guest; with `auto`, the default, both, and the first that is up is
   * taken. `none`, and a kernel without an initrd: there are no commands and no files, and the guest has booted when it runs.
   */
  readonly agent?: "auto" | "vsock" | "sh" | "none";
}

const MIB = 2 ** 20;
const DEFAULT_MEMORY = 128 * MIB;
const FIRST_CID = 3;

/** The options behind the flags that the machine's checks speak of. */
const OPTIONS: Readonly<Record<string, keyof VmOptions>> = {
  "--kernel": "kernel",
  "--initrd": "initrd",
  "--cmdline": "cmdline",
  "--mem": "memory",
  "--cpus": "cpus",
  "--disk": "disks",
  "--net": "net",
  "--publish": "ports",
  "--vsock": "vsock",
};

/** A problem that the machine's checks have found, in the words of the options. */
export function configErrorOf({ field, message, code, hint }: Problem): ConfigError {
  const inOptions = (text: string): string =>
    text.replace(/--\w+/g, (flag) => OPTIONS[flag] ?? flag);
  return new ConfigError(
    inOptions(field),
    inOptions(message),
    code,
    hint === undefined ? {} : { hint: inOptions(hint) },
  );
}

/** The agent that `options` have carried into the user's initrd; undefined when none is, for a root of the user's has its own. Throws ConfigError. */
export function carriedKindOf(
  { kernel, initrd, rootfs, agent = "auto" }: VmOptions,
): CarriedKind | undefined {
  if (agent === "none") return undefined;
  if (kernel === undefined || rootfs !== undefined) {
    if (agent !== "sh") return undefined;
    throw new ConfigError(
      "agent",
      'Cannot carry agent "sh" into the default guest',
      "AGENT_IS_THERE",
      {
        hint: "leave agent out: that guest has a better one",
      },
    );
  }
  if (initrd !== undefined) return agent;
  if (agent === "auto") return undefined;
  throw new ConfigError(
    "agent",
    `Cannot carry agent "${agent}" without an initrd`,
    "AGENT_NEEDS_INITRD",
    {
      hint: "name the initrd that it goes into, or leave agent out",
    },
  );
}

/** Whether a guest starts an agent. */
export function hasAgentOf(options: VmOptions, guest: GuestFiles | undefined): boolean {
  return guest !== undefined && startsAgent(guest) && options.agent !== "none";
}

/** The machine of `options`; `guest` is there when no kernel was given. Throws ConfigError. */
export function machineConfigOf(options: VmOptions, guest: GuestFiles | undefined): MachineConfig {
  const memory = sizeOf("memory", options.memory ?? DEFAULT_MEMORY);
  if (memory % MIB !== 0) {
    throw new ConfigError("memory", `Cannot use memory of ${memory} bytes`, "SIZE_INVALID", {
      hint: "whole MiB are possible",
    });
  }
  const vcpus = options.cpus ?? 1;
  if (!Number.isInteger(vcpus) || vcpus < LIMITS.vcpus.min || vcpus > LIMITS.vcpus.max) {
    throw new ConfigError("cpus", `Cannot use cpus ${vcpus}`, "CPUS_INVALID", {
      hint: `${LIMITS.vcpus.min} to ${LIMITS.vcpus.max} are possible`,
    });
  }
  const initrd = options.initrd === undefined ? guest?.initrd : hostPath("initrd", options.initrd);
  const hasAgent = hasAgentOf(options, guest);
  const words = [
    ...(guest === undefined ? [] : [rootWords(guest), ...hostnameWords(options.name)]),
    ...(hasAgent ? [AGENT_WORD] : []),
    ...(guest !== undefined && options.net && (options.net.mode ?? "user") === "user"
      ? [DHCP_WORD]
      : []),
    ...[options.cmdline ?? []].flat(),
  ];
  return {
    kernel: {
      image: options.kernel === undefined
        ? guest?.kernel ?? ""
        : hostPath("kernel", options.kernel),
      ...(initrd === undefined ? {} : { initrd }),
      ...(words.length === 0 ? {} : { cmdline: words.join(" ") }),
    },
    memoryMib: memory / MIB,
    vcpus,
    discovery: "auto",
    console: guest === undefined ? { mode: "auto" } : { mode: "auto", input: "virtio" },
    devices: devicesOf(options, guest),
  };
}

function devicesOf(options: VmOptions, guest: GuestFiles | undefined): DeviceConfig[] {
  const { vsock = {}, net = false, ports = {} } = options;
  const isServed = net !== false && (net.mode ?? "user") === "user";
  if (Object.keys(ports).length > 0 && !isServed) {
    throw new ConfigError("ports", "Cannot lead ports to a guest without passt", "PORTS_NO_NET", {
      hint: "add net: {}; by vm.connect and vm.fetch this program reaches them without",
    });
  }
  return [
    ...(guest === undefined ? [] : [rootDisk(guest)]),
    ...(options.disks ?? []).map(({ path, readonly = false, overlay, id }) => ({
      kind: "block" as const,
      path: hostPath("disks", path),
      readOnly: readonly,
      direct: false,
      ...(overlay === undefined ? {} : { overlay }),
      ...(id === undefined ? {} : { id }),
    })),
    ...(net === false ? [] : [netOf(net, ports)]),
    {
      kind: "vsock",
      cid: vsock.cid ?? FIRST_CID,
      ...(vsock.path === undefined ? {} : { uds: hostPath("vsock.path", vsock.path) }),
    },
  ];
}

function netOf(init: NetInit, ports: Ports): NetConfig {
  const address = init.mac === undefined ? {} : { mac: init.mac };
  switch (init.mode) {
    case "tap":
      return { kind: "net", backend: { type: "tap", name: tapOf(init.tap) }, ...address };
    case "switch":
      return { kind: "net", backend: init.switch.backend, ...address };
    default: {
      const forwards = Object.entries(ports).map(([host, guestPort]) => ({
        hostPort: Number(host),
        guestPort,
      }));
      return { kind: "net", backend: { type: "user", forwards }, ...address };
    }
  }
}

/** Programs without types can leave it out. */
function tapOf(tap: string | undefined): string {
  if (tap !== undefined) return tap;
  throw new ConfigError("net.tap", "Cannot connect a card to no interface", "TAP_MISSING", {
    hint: 'name one: net: { mode: "tap", tap: "tap0" }',
  });
}
