/**
 * What an x86 kernel can do, by strings that its code cannot do without. Each was checked against the configuration
 * of kernels that have the feature and of kernels that have not. Called through `mod.ts`.
 */
import type { ImageText, KernelBody, KernelContents, KernelFeature } from "../kernel_contents.ts";
import { hasAt } from "../bytes.ts";
import { readHead } from "../identify.ts";
import type { ImageSource } from "../types.ts";
import { parseBzImage } from "./bzimage.ts";
import { parseElf } from "./elf.ts";

/**
 * All of a feature's strings must be there. A final NUL keeps names apart that begin alike; a NUL before them would be
 * wrong, as linkers let a string share the tail of a longer one. A change here goes with one of SCANNER_VERSION in
 * src/machine/kernel_knowledge.ts.
 */
const FEATURES: readonly (readonly [KernelFeature, ...texts: string[]])[] = [
  // kernel/module/version.c, check_modinfo().
  ["modules", "version magic '%s' should be '"],
  // drivers/acpi/acpica: the root pointer's signature.
  ["acpi", "RSD PTR "],
  // drivers/of/fdt.c with OF_EARLY_FLATTREE only, and arch/x86/kernel/devicetree.c, dtb_lapic_setup().
  ["fdt", "linux,usable-memory\0", "intel,ce4100-lapic\0"],
  // arch/x86/kernel/mpparse.c.
  ["mp-table", "Intel MultiProcessor"],
  // arch/x86/pci/direct.c.
  ["pci", "PCI: Using configuration type 1"],
  // init/initramfs.c: "Unpacking …", or "Trying to unpack …" with RAM disks.
  ["initrd", " initramfs...\n\0"],
  // drivers/tty/serial/8250/8250_core.c: the platform driver.
  ["serial", "serial8250\0"],
  // drivers/virtio/virtio_mmio.c: the driver, its parameter, its ACPI id (which has room for 16 characters).
  ["virtio_mmio", "virtio-mmio\0"],
  ["virtio_mmio-cmdline", "virtio_mmio.device\0"],
  ["virtio_mmio-acpi", "LNRO0005\0"],
  // The names drivers register under; virtio_console's is a type's name elsewhere, its class is its own.
  ["virtio_blk", "virtio_blk\0"],
  ["virtio_net", "virtio_net\0"],
  ["virtio_console", "virtio-ports\0"],
  ["virtio_rng", "virtio_rng\0"],
  ["virtio_balloon", "virtio_balloon\0"],
  ["virtio_vsock", "vmw_vsock_virtio_transport\0"],
  ["virtiofs", "virtiofs\0"],
];

/** init/version.c: `Linux version 6.1.0 (who@where) (compiler) #1 SMP …`; UTS_VERSION behind the # names SMP. */
const BANNER = "Linux version ";
const BANNER_REST = /^(\d+\.[\w.+~-]+) \(/;
const BANNER_SMP = /#\d* SMP\b/;

/** What `text`, a kernel's unpacked image, can do. */
export function kernelContents(text: ImageText): KernelContents {
  for (const rest of text.linesAfter(BANNER)) {
    const version = BANNER_REST.exec(rest)?.[1];
    if (version === undefined) continue;
    const features = FEATURES
      .filter(([, ...texts]) => texts.every((part) => text.has(part)))
      .map(([feature]) => feature);
    return {
      kind: "linux",
      version,
      features: BANNER_SMP.test(rest) ? ["smp", ...features] : features,
    };
  }
  return { kind: "other" };
}

/**
 * Where the kernel proper stands in its file: the loaded segments of an ELF file (debug information is left out), the
 * payload of a bzImage. Throws `BootError`.
 */
export function kernelBody(source: ImageSource): KernelBody {
  if (!hasAt(readHead(source), 0, "\x7fELF")) {
    return { pieces: [parseBzImage(source).payload], packed: true };
  }
  const pieces = parseElf(source).segments
    .map(({ fileOffset, fileSize }) => ({ offset: fileOffset, size: fileSize }))
    .filter(({ size }) => size > 0);
  return { pieces, packed: false };
}
