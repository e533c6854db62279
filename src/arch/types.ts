/**
 * What the rest of the monitor says to an architecture, and what it gets back: no register, no address, no
 * boot protocol is named here. Implemented by `src/arch/x86_64`; picked by `mod.ts`.
 */
import type { BootMemory } from "../memory/boot_memory.ts";
import type {
  DiscoveryChoice,
  DiscoverySupport,
  ImageText,
  KernelBody,
  KernelContents,
} from "./kernel_contents.ts";
import type { X86BootState } from "./x86_64/boot_state.ts";

/** The ways in which a guest can be told about its devices. */
export type DiscoveryMethod = "cmdline" | "fdt" | "acpi";

/** An open image file. Loaders read it straight into guest RAM, so a big kernel never passes through the heap. */
export interface ImageSource {
  /** Bytes. */
  readonly size: number;
  /** What messages call it: the path as the user wrote it. */
  readonly name: string;
  /** Fills all of `into` with the bytes at `offset`, or throws (also on a short read). */
  read(offset: number, into: Uint8Array): void;
}

/** A piece of guest RAM, in bytes. */
export interface RamRange {
  /** Guest-physical address. */
  readonly base: number;
  /** Bytes. */
  readonly size: number;
}

/** Where one device sits: what the renderers of device tree and command line need to know of it. */
export interface DeviceSlot {
  /** For people and device trees: `block0`. */
  readonly name: string;
  /** `virtio-mmio` is rendered into device trees and command lines; other kinds are found by their fixed place. */
  readonly kind:
    | "virtio-mmio"
    | "platform"
    | "serial"
    | "keyboard"
    | "rtc"
    | "exit"
    | "pit"
    | "pit-gate";
  /** Memory or I/O ports. */
  readonly space: "mmio" | "pio";
  /** Address or first port. */
  readonly base: number;
  /** Bytes. */
  readonly size: number;
  /** Global system interrupt; left out when the device never interrupts. */
  readonly gsi?: number;
}

/** Everything a boot needs. `memory` must be fresh: loaders rely on bytes they do not write being zero. */
export interface BootRequest {
  readonly memory: BootMemory;
  readonly kernel: ImageSource;
  readonly initrd?: ImageSource;
  readonly cmdline: string;
  /** A flattened device tree to hand over. */
  readonly deviceTree?: Uint8Array;
  /** Random bytes for the guest's generator; kernels that cannot be told get along without. */
  readonly rngSeed?: Uint8Array;
  /** ACPI tables to hand over. Not together with a device tree: a guest is told one way. */
  readonly acpi?: AcpiTables;
  /**
   * Processors, for the table that tells kernels without ACPI; without it none is written. Not used with a device
   * tree or ACPI.
   */
  readonly vcpus?: number;
}

/** The boot processor's first state: plain data that survives a structured clone to its worker. */
export type BootState = X86BootState;

/** How the kernel file is packed. */
export type KernelFormat = "elf64" | "elf32" | "bzimage";

/** What the headers of a kernel say. Addresses are guest-physical, sizes in bytes. */
export interface KernelInfo {
  readonly format: KernelFormat;
  /** For people: `Linux bzImage 6.1.0-18-cloud-amd64`. */
  readonly description: string;
  /** First byte the kernel occupies once loaded. */
  readonly lowest: number;
  /** One past the last byte it occupies, its zero-filled part and decompression room included. */
  readonly highest: number;
  /** The native entry; left out when the file can only be entered through `pvhEntry`. */
  readonly entry?: number;
  /** The 32-bit PVH entry, when the file has a note that names it. */
  readonly pvhEntry?: number;
  /** Longest command line it takes, in bytes without the final NUL. */
  readonly cmdlineMax: number;
  /** Highest address the last byte of an initrd may have. */
  readonly initrdMax: number;
  /** The least RAM that holds kernel and tables; a running system needs more. */
  readonly minimumRam: number;
}

/** Stable words for what can be wrong with a boot. */
export type BootErrorCode =
  | "KERNEL_FORMAT"
  | "KERNEL_ARCH"
  | "KERNEL_TRUNCATED"
  | "KERNEL_CORRUPT"
  | "KERNEL_PLACEMENT"
  | "KERNEL_TOO_BIG"
  | "INITRD_EMPTY"
  | "INITRD_TOO_BIG"
  | "CMDLINE_TOO_LONG"
  | "CMDLINE_INVALID"
  | "DEVICE_TREE_INVALID"
  | "DEVICE_TREE_TOO_BIG"
  | "DEVICE_TREE_UNSUPPORTED"
  | "ACPI_TOO_BIG"
  | "MEMORY_INVALID"
  | "TOO_MANY_DEVICES"
  | "ARCH_UNSUPPORTED";

/** Something the user gave cannot be booted. `hint` says what to do about it. */
export class BootError extends Error {
  override readonly name = "BootError";
  readonly code: BootErrorCode;
  readonly hint: string | undefined;

  constructor(code: BootErrorCode, message: string, hint?: string) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

/** What a device tree is made from. */
export interface DeviceTreeRequest {
  readonly vcpus: number;
  readonly cmdline: string;
  readonly devices: readonly DeviceSlot[];
}

/** What ACPI tables are made from. */
export interface AcpiRequest {
  readonly vcpus: number;
  readonly devices: readonly DeviceSlot[];
}

/** ACPI tables, ready to be written: the addresses in them are those of their place. */
export interface AcpiTables {
  /** Guest-physical address of `bytes`, which begin with the root pointer. */
  readonly root: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** One architecture, as the plan and the machine see it. */
export interface Architecture {
  /** As `Deno.build.arch` spells it. */
  readonly name: string;
  /** Command-line words every kernel gets unless the user replaces them. */
  readonly defaultCmdline: string;
  /** KVM capabilities without which no VM of this architecture can be set up, beside those all need. */
  readonly capabilities: readonly (readonly [name: string, capability: number])[];
  /** Most virtio-mmio devices one machine takes. */
  readonly maxVirtioSlots: number;
  /** Guest-physical pages KVM keeps for itself when it creates a VM. */
  readonly vmAddresses: { readonly tss: number; readonly identityMap: number };
  /** Devices that stand at fixed places whether used or not: serial port, keyboard controller, exit register … */
  readonly fixedSlots: readonly DeviceSlot[];
  /** RAM ranges for a machine of `bytes`; throws `BootError` MEMORY_INVALID. */
  ramRanges(bytes: number): RamRange[];
  /** The place of the virtio-mmio device number `index`; throws `BootError` TOO_MANY_DEVICES. */
  virtioSlot(index: number, name: string): DeviceSlot;
  /** Reads the headers of a kernel only; throws `BootError`. */
  inspectKernel(source: ImageSource): KernelInfo;
  /** Where the kernel proper stands in its file; throws `BootError`. */
  kernelBody(source: ImageSource): KernelBody;
  /** What a kernel can do, by names in its unpacked image. */
  kernelContents(text: ImageText): KernelContents;
  /** Which ways of telling a kernel about its devices work, best first. `cmdline` is without device words. */
  discoverySupport(contents: KernelContents, cmdline: string): readonly DiscoverySupport[];
  /** The one way to take when the user has not chosen. */
  chooseDiscovery(contents: KernelContents, cmdline: string): DiscoveryChoice;
  /** Puts kernel, initrd, command line and tables into guest memory; throws `BootError` before it writes any. */
  loadKernel(request: BootRequest): BootState;
  /** Command-line words that announce `devices`. */
  deviceWords(devices: readonly DeviceSlot[]): string[];
  /** A flattened device tree that announces `devices`. */
  deviceTree(request: DeviceTreeRequest): Uint8Array<ArrayBuffer>;
  /** ACPI tables that announce `devices`; throws `BootError` ACPI_TOO_BIG. */
  acpiTables(request: AcpiRequest): AcpiTables;
}
