/** Which ways of announcing devices an x86 kernel understands, and which one is taken when nobody chose. */
import type { KernelContents, KernelFeature } from "../../src/arch/kernel_contents.ts";
import type { DiscoveryMethod } from "../../src/arch/types.ts";
import { chooseDiscovery, discoverySupport } from "../../src/arch/x86_64/discovery.ts";
import { assert, assertEquals, assertMatch } from "../../src/std/assert.ts";

function linux(...features: readonly KernelFeature[]): KernelContents {
  return { kind: "linux", version: "6.1.0", features };
}

const ACPI_MODULES = linux("acpi", "modules", "smp", "pci");
const ACPI_BUILT_IN = linux("acpi", "virtio_mmio", "virtio_mmio-acpi");
const BOTH = linux("acpi", "virtio_mmio", "virtio_mmio-acpi", "virtio_mmio-cmdline", "modules");
const WORDS = linux("virtio_mmio", "virtio_mmio-cmdline", "mp-table");
const OURS = linux("virtio_mmio", "virtio_mmio-cmdline", "fdt");
const TREE = linux("virtio_mmio", "fdt");

interface Case {
  readonly name: string;
  readonly contents: KernelContents;
  readonly cmdline?: string;
  readonly method: DiscoveryMethod;
  readonly support: Readonly<Record<DiscoveryMethod, "yes" | "no" | "unknown">>;
  readonly warns?: true;
}

const CASES: readonly Case[] = [
  {
    name: "Debian's cloud kernel: ACPI, drivers as modules",
    contents: ACPI_MODULES,
    method: "acpi",
    support: { acpi: "yes", cmdline: "unknown", fdt: "no" },
  },
  {
    name: "ACPI with virtio_mmio built in, no parameter",
    contents: ACPI_BUILT_IN,
    method: "acpi",
    support: { acpi: "yes", cmdline: "no", fdt: "no" },
  },
  {
    name: "ACPI and the parameter: one way only, the better one",
    contents: BOTH,
    method: "acpi",
    support: { acpi: "yes", cmdline: "yes", fdt: "no" },
  },
  {
    name: "libkrunfw: the parameter only",
    contents: WORDS,
    method: "cmdline",
    support: { acpi: "no", cmdline: "yes", fdt: "no" },
  },
  {
    name: "our own: the parameter or a device tree",
    contents: OURS,
    method: "cmdline",
    support: { acpi: "no", cmdline: "yes", fdt: "yes" },
  },
  {
    name: "a device tree only",
    contents: TREE,
    method: "fdt",
    support: { acpi: "no", cmdline: "no", fdt: "yes" },
  },
  {
    name: "a device tree, virtio_mmio as a module",
    contents: linux("fdt", "modules"),
    method: "fdt",
    support: { acpi: "no", cmdline: "unknown", fdt: "yes" },
  },
  {
    name: "ACPI that its user has switched off",
    contents: BOTH,
    cmdline: "quiet acpi=off root=/dev/vda",
    method: "cmdline",
    support: { acpi: "no", cmdline: "yes", fdt: "no" },
  },
  {
    name: "ACPI switched off where nothing else works",
    contents: ACPI_MODULES,
    cmdline: "acpi=off",
    method: "cmdline",
    support: { acpi: "no", cmdline: "unknown", fdt: "no" },
    warns: true,
  },
  {
    name: "ACPI but no virtio_mmio and no modules",
    contents: linux("acpi", "smp"),
    method: "cmdline",
    support: { acpi: "no", cmdline: "no", fdt: "no" },
    warns: true,
  },
  {
    name: "virtio_mmio built in without any way to find devices",
    contents: linux("acpi", "virtio_mmio", "modules"),
    method: "cmdline",
    support: { acpi: "no", cmdline: "no", fdt: "no" },
    warns: true,
  },
  {
    name: "a device tree but no virtio_mmio and no modules",
    contents: linux("fdt"),
    method: "cmdline",
    support: { acpi: "no", cmdline: "no", fdt: "no" },
    warns: true,
  },
  {
    name: "no Linux",
    contents: { kind: "other" },
    method: "cmdline",
    support: { acpi: "unknown", cmdline: "unknown", fdt: "unknown" },
  },
  {
    name: "a kernel nobody can look into",
    contents: { kind: "closed", why: "cannot open liblz4.so.1", hint: "install liblz4-1" },
    method: "cmdline",
    support: { acpi: "unknown", cmdline: "unknown", fdt: "unknown" },
    warns: true,
  },
];

for (const { name, contents, cmdline = "", method, support, warns = false } of CASES) {
  Deno.test(`${name}: by ${method}${warns ? ", with a warning" : ""}`, () => {
    const list = discoverySupport(contents, cmdline);
    assertEquals(Object.fromEntries(list.map(({ method, works }) => [method, works])), support);
    assertEquals(list.length, 3);
    for (const { why } of list) assert(why.length > 5, why);
    const choice = chooseDiscovery(contents, cmdline);
    assertEquals([choice.method, choice.warning !== undefined], [method, warns]);
    assert(choice.reason.length > 5, choice.reason);
  });
}

Deno.test("acpi=off counts as the kernel counts it", () => {
  const off = [
    "acpi=off",
    "a acpi=off b",
    "acpi=force acpi=off",
    "acpi=off\t-- x",
    "acpi=off acpi=noirq",
  ];
  const on = ["", "acpi=off acpi=force", "-- acpi=off", "xacpi=off", "acpi=offs", "acpi=noirq"];
  for (const line of off) assertEquals(chooseDiscovery(BOTH, line).method, "cmdline", line);
  for (const line of on) assertEquals(chooseDiscovery(BOTH, line).method, "acpi", line);
});

Deno.test("a warning says why, and what to do", () => {
  const closed = chooseDiscovery(
    { kind: "closed", why: "no liblz4", hint: "install liblz4-1" },
    "",
  );
  assertMatch(closed.warning?.message ?? "", /no liblz4/);
  assertEquals(closed.warning?.hint, "install liblz4-1");
  assertMatch(chooseDiscovery({ kind: "closed", why: "x" }, "").warning?.hint ?? "", /--discovery/);
  const off = chooseDiscovery(ACPI_MODULES, "acpi=off").warning;
  assertMatch(off?.message ?? "", /acpi=off is on the command line/);
  assertEquals(off?.hint, "leave acpi=off out of the command line");
  assertMatch(chooseDiscovery(linux("acpi"), "acpi=off").warning?.hint ?? "", /CONFIG_ACPI/);
});
