/**
 * The device tree as x86 Linux reads it (arch/x86/kernel/devicetree.c of Linux 6.1, handed over as SETUP_DTB).
 * CONFIG_OF alone does not read it: 6.1 also wants CONFIG_OF_EARLY_FLATTREE, which on x86 only X86_INTEL_CE and
 * OF_UNITTEST select.
 * Called through `mod.ts` by the plan.
 */
import { FdtWriter } from "../fdt.ts";
import type { DeviceSlot, DeviceTreeRequest } from "../types.ts";
import { IOAPIC_BASE, LAPIC_BASE } from "./memory_map.ts";

/** Both APICs answer in one page (arch/x86/include/asm/apicdef.h, io_apic.h). */
const APIC_SIZE = 0x1000;
const IOAPIC_PHANDLE = 1;
/** Index into `of_ioapic_type[]`, which is not the usual numbering of interrupts: 0 edge falling, 1 level high, 2 level low. */
const IOAPIC_EDGE_RISING = 3;

/** Renders the tree. Devices that are not virtio-mmio are found by x86 Linux at their fixed places, without a node. */
export function renderDeviceTree(request: DeviceTreeRequest): Uint8Array<ArrayBuffer> {
  const tree = new FdtWriter();
  tree.beginNode("");
  tree.cells("#address-cells", 1);
  tree.cells("#size-cells", 1);
  tree.strings("compatible", "dinovisor,microvm");
  tree.strings("model", "dinovisor");
  tree.cells("interrupt-parent", IOAPIC_PHANDLE);
  // No memory node: x86 takes its map from e820, and early_init_dt_add_memory_arch() is BUG().
  renderChosen(tree, request.cmdline);
  renderCpus(tree, request.vcpus);
  renderApics(tree);
  for (const device of request.devices) {
    if (device.kind === "virtio-mmio") renderVirtio(tree, device);
  }
  tree.endNode();
  return tree.finish();
}

/** 6.1 takes the command line from the zero page; later kernels also read this one (early_init_dt_scan_chosen). */
function renderChosen(tree: FdtWriter, cmdline: string): void {
  tree.beginNode("chosen");
  tree.strings("bootargs", cmdline);
  tree.endNode();
}

/** dtb_cpu_setup(): `reg` is the local APIC id. */
function renderCpus(tree: FdtWriter, vcpus: number): void {
  tree.beginNode("cpus");
  tree.cells("#address-cells", 1);
  tree.cells("#size-cells", 0);
  for (let id = 0; id < vcpus; id++) {
    tree.beginNode(`cpu@${id.toString(16)}`);
    tree.strings("device_type", "cpu");
    tree.strings("compatible", "intel,ce4100");
    tree.cells("reg", id);
    tree.endNode();
  }
  tree.endNode();
}

/** dtb_lapic_setup() and dtb_ioapic_setup(): the compatible words are the only ones x86 Linux knows. */
function renderApics(tree: FdtWriter): void {
  tree.beginNode(`interrupt-controller@${IOAPIC_BASE.toString(16)}`);
  tree.strings("compatible", "intel,ce4100-ioapic");
  tree.cells("reg", IOAPIC_BASE, APIC_SIZE);
  tree.flag("interrupt-controller");
  tree.cells("#address-cells", 0);
  tree.cells("#interrupt-cells", 2);
  tree.cells("phandle", IOAPIC_PHANDLE);
  tree.endNode();
  tree.beginNode(`interrupt-controller@${LAPIC_BASE.toString(16)}`);
  tree.strings("compatible", "intel,ce4100-lapic");
  tree.cells("reg", LAPIC_BASE, APIC_SIZE);
  // Linux 6.3 and later: the boot processor's LINT0 passes the 8259 through; there is no IMCR to switch.
  tree.flag("intel,virtual-wire-mode");
  tree.endNode();
}

/**
 * Directly under the root, where of_platform_default_populate_init() makes a platform device of every child with a
 * `compatible`; add_bus_probe() only walks buses it knows. An irqfd pulse is a rising edge.
 */
function renderVirtio(tree: FdtWriter, device: DeviceSlot): void {
  tree.beginNode(`virtio_mmio@${device.base.toString(16)}`);
  tree.strings("compatible", "virtio,mmio");
  tree.cells("reg", device.base, device.size);
  if (device.gsi !== undefined) tree.cells("interrupts", device.gsi, IOAPIC_EDGE_RISING);
  tree.endNode();
}
