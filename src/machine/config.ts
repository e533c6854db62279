/** What a machine is to be, as plain data: JSON, command line and structured clone alike. */
import type { DeviceConfig } from "../../devices/mod.ts";
import type { DiscoveryMethod } from "../arch/types.ts";

/** How the guest learns where its devices are; `auto`: in the way its kernel understands best. */
export type Discovery = "auto" | DiscoveryMethod;

/** Where the guest's console goes. */
export type ConsoleConfigMode =
  /** The terminal: the serial port until the guest talks through a virtio console, that from then on. */
  | {
    readonly mode: "auto";
    /**
     * `virtio`: the guest is known to come to its virtio console, so input waits for that. Linux opens the serial
     * port for its first program long before, and what it takes there is lost when the console moves on.
     */
    readonly input?: "virtio";
    /** ... and echoes nothing before its first program asks for it: input need not wait for that program. */
    readonly takesTypeAhead?: true;
  }
  | { readonly mode: "serial" }
  | { readonly mode: "virtio" }
  /** Serial output into a file, no input. */
  | { readonly mode: "file"; readonly path: string }
  | { readonly mode: "off" };

/** What boots. */
export interface KernelConfig {
  /** Path of an ELF kernel or a bzImage. */
  readonly image: string;
  /** Path of an initial RAM disk, compressed or not. */
  readonly initrd?: string;
  /** Words added after the default ones. */
  readonly cmdline?: string;
  /** Words instead of the default ones. */
  readonly cmdlineOnly?: string;
}

/** A whole machine. `checkConfig` says what is wrong with one. */
export interface MachineConfig {
  /** What boots. */
  readonly kernel: KernelConfig;
  /** RAM in MiB. */
  readonly memoryMib: number;
  /** Virtual processors. */
  readonly vcpus: number;
  /** How the guest learns where its devices are. */
  readonly discovery: Discovery;
  /** Where the guest's console goes. */
  readonly console: ConsoleConfigMode;
  /** virtio devices in the order the guest finds them; the console of `console` comes after them. */
  readonly devices: readonly DeviceConfig[];
}

/** Least and most of everything; `check.ts` says why. */
export const LIMITS = {
  memoryMib: { min: 2, max: 1024 * 1024 },
  vcpus: { min: 1, max: 32 },
} as const;
