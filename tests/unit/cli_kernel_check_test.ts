/** What `kernel check` prints of a kernel: lines for people, and the hints that follow from what it lacks. */
import type { KernelContents, KernelFeature, KernelInfo } from "../../src/arch/mod.ts";
import { kernelReport, reportText } from "../../src/cli/kernel_check.ts";
import { DRIVERS, kernelHints, SYSTEM } from "../../src/cli/kernel_words.ts";
import { assert, assertEquals, assertMatch } from "../../src/std/assert.ts";

const INFO: KernelInfo = {
  format: "bzimage",
  description: "Linux bzImage 6.1.0",
  lowest: 0x100_0000,
  highest: 0x437_8000,
  entry: 0x100_0200,
  cmdlineMax: 2047,
  initrdMax: 0x7fff_ffff,
  minimumRam: 68 * 2 ** 20,
};

function linux(...features: readonly KernelFeature[]): KernelContents {
  return { kind: "linux", version: "6.1.0-56-cloud-amd64", features };
}

const DEBIAN = linux("smp", "modules", "acpi", "pci", "initrd", "serial");
const KRUN = linux("smp", "mp-table", "virtio_mmio", "virtio_mmio-cmdline", "virtio_console");

function linesOf(contents: KernelContents): string[] {
  return reportText(kernelReport("/boot/vmlinuz", INFO, contents)).split("\n");
}

Deno.test("a stock kernel's report", () => {
  assertEquals(linesOf(DEBIAN), [
    "file            /boot/vmlinuz",
    "format          bzimage: Linux bzImage 6.1.0",
    "entry           native at 0x1000200",
    "loads at        0x1000000 to 0x4378000",
    "memory          at least 68 MiB to load",
    "command line    at most 2047 bytes",
    "kernel          Linux 6.1.0-56-cloud-amd64",
    "can             several processors, ACPI, PCI, load modules, unpack an initrd",
    "cannot          MP table, device tree",
    "built in        8250 serial port",
    "only as modules virtio_mmio, virtio_blk, virtio_net, virtio_console, virtio_rng, virtio_balloon, " +
    "virtio_vsock, virtiofs",
    "by acpi         yes: it has ACPI, and can load virtio_mmio as a module",
    "by cmdline      unknown: virtio_mmio can only be a module, which may or may not take them",
    "by fdt          no: it takes no device tree (CONFIG_OF_EARLY_FLATTREE)",
    "auto picks      acpi: it has ACPI, and can load virtio_mmio as a module",
    "hint: its virtio drivers are modules: the initrd must load virtio_mmio, virtio_blk for disks, " +
    "virtio_console for hvc0",
  ]);
});

Deno.test("drivers that a kernel without modules lacks are not there", () => {
  const lines = linesOf(KRUN);
  assert(lines.some((line) => /^not there +8250 serial port, virtio_blk/.test(line)), `${lines}`);
  assert(!lines.some((line) => line.startsWith("only as modules")));
});

Deno.test("a kernel that is no Linux has no list of what it cannot", () => {
  assertEquals(linesOf({ kind: "other" }).slice(6), [
    "kernel          not Linux: its image tells nothing",
    "auto picks      cmdline: it is not Linux",
  ]);
});

Deno.test("a kernel that cannot be looked into comes with the reason and a hint", () => {
  const why = "cannot open liblz4.so.1";
  const lines = linesOf({ kind: "closed", why, hint: "install liblz4-1" }).slice(6);
  assertEquals(lines, [
    `kernel          cannot be looked into: ${why}`,
    `auto picks      cmdline: ${why}`,
    `warning: cannot tell how this kernel finds its devices: ${why}`,
    "hint: install liblz4-1",
  ]);
});

Deno.test("a kernel that no method suits is warned of", () => {
  const lines = linesOf(linux("smp", "initrd", "serial"));
  assertMatch(lines.at(-3) ?? "", /^warning: this kernel will not find its devices \(acpi: it is/);
  assertMatch(lines.at(-2) ?? "", /^hint: .*CONFIG_VIRTIO_MMIO/);
  assertMatch(lines.at(-1) ?? "", /^hint: it finds one processor only/);
});

const HINTS: readonly (readonly [KernelContents, "acpi" | "cmdline", readonly RegExp[]])[] = [
  [DEBIAN, "acpi", [/the initrd must load virtio_mmio, virtio_blk for disks, virtio_console/]],
  [
    linux("smp", "modules", "acpi", "initrd", "serial", "virtio_blk", "virtio_console"),
    "acpi",
    [/must load virtio_mmio$/],
  ],
  [KRUN, "cmdline", [/unpacks no initrd/, /--console virtio/]],
  [linux("initrd", "virtio_mmio"), "cmdline", [/neither a serial port nor/, /one processor \(/]],
  [linux("smp", "initrd", "serial", "virtio_mmio"), "cmdline", [/reads no MP table/]],
  [linux("smp", "initrd", "serial", "virtio_mmio"), "acpi", []],
  [linux("smp", "initrd", "serial", "modules", "virtio_mmio"), "acpi", []],
  [{ kind: "other" }, "cmdline", []],
];
HINTS.forEach(([contents, method, expected], index) => {
  Deno.test(`hints of kernel ${index}, told by ${method}`, () => {
    const hints = kernelHints(contents, method);
    assertEquals(hints.length, expected.length, `${hints}`);
    expected.forEach((words, at) => assertMatch(hints[at] ?? "", words));
  });
});

Deno.test("every feature has its word once", () => {
  const words = [...SYSTEM.values(), ...DRIVERS.values()];
  assertEquals(new Set(words).size, words.length);
  for (const feature of SYSTEM.keys()) assert(!DRIVERS.has(feature), feature);
});
