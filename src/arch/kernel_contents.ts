/**
 * What a kernel can do, told from names in its image: the words `kernel check` prints and `--discovery auto` decides
 * by. Filled in by each architecture, which knows the names; passed around by `src/machine`.
 */
import type { DiscoveryMethod } from "./types.ts";

/** What is built into a kernel. Names with an underscore are Linux drivers. */
export type KernelFeature =
  /** Loads modules, so that whatever is missing here may still come from an initrd. */
  | "modules"
  /** Runs on more than one processor. */
  | "smp"
  | "acpi"
  /** Takes a device tree from its loader. */
  | "fdt"
  /** Reads processors from an MP table. */
  | "mp-table"
  | "pci"
  /** Unpacks an initrd. */
  | "initrd"
  /** The 8250 serial port. */
  | "serial"
  | "virtio_mmio"
  /** virtio_mmio takes devices from the command line. */
  | "virtio_mmio-cmdline"
  /** virtio_mmio knows its ACPI id. */
  | "virtio_mmio-acpi"
  | "virtio_blk"
  | "virtio_net"
  | "virtio_console"
  | "virtio_rng"
  | "virtio_balloon"
  | "virtio_vsock"
  | "virtiofs";

/** What was seen in a kernel's image. JSON. */
export type KernelContents =
  | {
    readonly kind: "linux";
    /** `6.1.0-56-cloud-amd64`. */
    readonly version: string;
    readonly features: readonly KernelFeature[];
  }
  /** Another kernel: its image says nothing. */
  | { readonly kind: "other" }
  /** It could not be looked into. */
  | { readonly kind: "closed"; readonly why: string; readonly hint?: string };

/** Where the kernel proper stands in its file. */
export interface KernelBody {
  /** Bytes in the file, in order. */
  readonly pieces: readonly { readonly offset: number; readonly size: number }[];
  /** The one piece is compressed. */
  readonly packed: boolean;
}

/** A kernel's image, to be searched. */
export interface ImageText {
  /** Whether `text` (Latin-1, any length up to 64) is in it. */
  has(text: string): boolean;
  /** What follows each place of `text` up to a line break or NUL, at most 256 characters. */
  linesAfter(text: string): Iterable<string>;
}

/** Whether one way of telling a kernel about its devices works. */
export interface DiscoverySupport {
  readonly method: DiscoveryMethod;
  readonly works: "yes" | "no" | "unknown";
  /** Half a sentence, for people. */
  readonly why: string;
}

/** The way that `--discovery auto` takes. */
export interface DiscoveryChoice {
  readonly method: DiscoveryMethod;
  /** Half a sentence, for people. */
  readonly reason: string;
  /** The guest will not find its devices, or may not: half a sentence, and what to do about it. */
  readonly warning?: { readonly message: string; readonly hint: string };
}
