/** A kernel's features in words, and what follows from those it lacks. Called by `kernel_check.ts`. */
import type { DiscoveryMethod, KernelContents, KernelFeature } from "../arch/mod.ts";

/** What a kernel can do by itself. */
export const SYSTEM: ReadonlyMap<KernelFeature, string> = new Map<KernelFeature, string>([
  ["smp", "several processors"],
  ["acpi", "ACPI"],
  ["mp-table", "MP table"],
  ["fdt", "device tree"],
  ["pci", "PCI"],
  ["modules", "load modules"],
  ["initrd", "unpack an initrd"],
]);

/** Drivers, which may also come as modules. */
export const DRIVERS: ReadonlyMap<KernelFeature, string> = new Map<KernelFeature, string>([
  ["serial", "8250 serial port"],
  ["virtio_mmio", "virtio_mmio"],
  ["virtio_blk", "virtio_blk"],
  ["virtio_net", "virtio_net"],
  ["virtio_console", "virtio_console"],
  ["virtio_rng", "virtio_rng"],
  ["virtio_balloon", "virtio_balloon"],
  ["virtio_vsock", "virtio_vsock"],
  ["virtiofs", "virtiofs"],
]);

/** What the user of such a kernel has to know, when it is told about its devices by `method`. */
export function kernelHints(contents: KernelContents, method: DiscoveryMethod): string[] {
  if (contents.kind !== "linux") return [];
  const has = (feature: KernelFeature) => contents.features.includes(feature);
  const hints: string[] = [];
  if (!has("initrd")) {
    hints.push("it unpacks no initrd: give it a root disk with --disk and root=/dev/vda");
  }
  if (has("modules") && !has("virtio_mmio")) {
    const modules = ["virtio_mmio", ...(has("virtio_blk") ? [] : ["virtio_blk for disks"])];
    if (!has("virtio_console")) modules.push("virtio_console for hvc0");
    hints.push(`its virtio drivers are modules: the initrd must load ${modules.join(", ")}`);
  }
  if (!has("serial")) hints.push(serialHint(has("virtio_console")));
  if (!has("smp")) hints.push("it runs on one processor (CONFIG_SMP)");
  else if (method === "cmdline" && !has("mp-table")) {
    hints.push("it finds one processor only: it is told by no ACPI, and reads no MP table");
  }
  return hints;
}

function serialHint(virtioConsole: boolean): string {
  return virtioConsole
    ? "it has no serial port: nothing is seen of it before hvc0, use --console virtio"
    : "it has neither a serial port nor virtio_console built in: what it says may never be seen";
}
