/** What is told from a kernel's image: Linux or not, its version, its features, and which bytes are looked at. */
import { kernelBody, kernelContents } from "../../src/arch/x86_64/kernel_contents.ts";
import type { KernelContents, KernelFeature } from "../../src/arch/kernel_contents.ts";
import type { ImageSource } from "../../src/arch/types.ts";
import { imageText } from "../../src/machine/kernel_image.ts";
import { assertEquals, assertThrows } from "../../src/std/assert.ts";
import { banner, bzImage, elfKernel, imageOf } from "../support/kernel_files.ts";

function contentsOf(...texts: readonly string[]): KernelContents {
  return kernelContents(imageText([imageOf(texts)], decoded));
}

/** The search of production calls the C library, which unit tests may not. */
function decoded(bytes: Uint8Array, text: string, from: number): number {
  return new TextDecoder("latin1").decode(bytes).indexOf(text, from);
}

function sourceOf(bytes: Uint8Array): ImageSource {
  return {
    size: bytes.length,
    name: "x",
    read: (offset, into) => into.set(bytes.subarray(offset, offset + into.length)),
  };
}

/** Each feature's strings, as they stand in images. */
const MARKS: readonly (readonly [KernelFeature, ...texts: string[]])[] = [
  ["modules", "%s: version magic '%s' should be '%s'\n\0"],
  ["acpi", "RSD PTR \0"],
  ["fdt", "linux,usable-memory\0", "intel,ce4100-lapic\0"],
  ["mp-table", "\x016Intel MultiProcessor Specification v1.%d\n\0"],
  ["pci", "\x016PCI: Using configuration type 1 for base access\n\0"],
  ["initrd", "\x016Trying to unpack rootfs image as initramfs...\n\0"],
  ["initrd", "\x016Unpacking initramfs...\n\0"],
  ["serial", "serial8250\0"],
  ["virtio_mmio", "virtio-mmio\0"],
  ["virtio_mmio-cmdline", "virtio_mmio.device\0"],
  ["virtio_mmio-acpi", "LNRO0005\0\0\0\0\0\0\0\0"],
  ["virtio_blk", "virtio_blk\0"],
  ["virtio_net", "virtio_net\0"],
  ["virtio_console", "virtio-ports\0"],
  ["virtio_rng", "virtio_rng\0"],
  ["virtio_balloon", "virtio_balloon\0"],
  ["virtio_vsock", "vmw_vsock_virtio_transport\0"],
  ["virtiofs", "virtiofs\0"],
];

for (const [feature, ...texts] of MARKS) {
  Deno.test(`${feature} is known by ${JSON.stringify(texts)}, and by nothing less`, () => {
    const plain = banner("6.1.0", "#1 PREEMPT");
    const linux = (features: readonly KernelFeature[]) =>
      ({ kind: "linux", version: "6.1.0", features }) as const;
    assertEquals(contentsOf(plain, ...texts), linux([feature]));
    for (const left of texts) {
      const others = texts.filter((text) => text !== left);
      assertEquals(contentsOf(plain, ...others), linux([]), `without ${left}`);
      // A longer name, as in the string table of type information.
      const longer = left.replaceAll("\0", "_x\0").replace("' should", "'_should")
        .replace("PTR ", "PTR_").replace("Processor", "_Processor").replace("type 1", "type 2");
      assertEquals(contentsOf(plain, longer, ...others), linux([]), `with ${longer}`);
    }
  });
}

const VERSIONS: readonly (readonly [text: string, version: string, smp: boolean])[] = [
  [banner("6.1.0-56-cloud-amd64", "#1 SMP PREEMPT_DYNAMIC Debian"), "6.1.0-56-cloud-amd64", true],
  [banner("6.12.107+deb13-cloud-amd64", "# SMP"), "6.12.107+deb13-cloud-amd64", true],
  [banner("5.10.0-rc7~1", "#42 PREEMPT"), "5.10.0-rc7~1", false],
  // Only what stands behind the # is the kernel's own.
  [`Linux version 6.1.1 (me@here) (SMP gcc) #1 Thu\n\0`, "6.1.1", false],
];
for (const [text, version, smp] of VERSIONS) {
  Deno.test(`version ${version} is read, ${smp ? "with" : "without"} SMP`, () => {
    assertEquals(contentsOf(text), { kind: "linux", version, features: smp ? ["smp"] : [] });
  });
}

Deno.test("the first banner that is one counts", () => {
  const texts = ["Linux version \0", "Linux version %s\n\0", banner("6.1.0"), banner("5.4.0")];
  assertEquals(contentsOf(...texts), { kind: "linux", version: "6.1.0", features: ["smp"] });
});

Deno.test("an image without a banner is not Linux, whatever else it says", () => {
  const other = { kind: "other" } as const;
  assertEquals(contentsOf("virtio_mmio.device\0", "LNRO0005\0"), other);
  assertEquals(contentsOf("Linux version is what we look for\0"), other);
  assertEquals(contentsOf(), other);
  // It goes to a terminal.
  assertEquals(contentsOf("Linux version 6.1.0\x1b[2J (me@here) #1\0"), other);
});

Deno.test("of an ELF file its loaded segments are looked at", () => {
  const image = imageOf([banner("6.1.0")]);
  const file = elfKernel(image, imageOf(["virtio-mmio\0"]));
  const { pieces, packed } = kernelBody(sourceOf(file));
  assertEquals([packed, pieces.length], [false, 1]);
  const [{ offset, size } = { offset: 0, size: 0 }] = pieces;
  assertEquals(file.slice(offset, offset + size), image);
});

Deno.test("of a bzImage the payload is looked at", () => {
  const payload = Uint8Array.of(0x1f, 0x8b, 8, 0, 1, 2, 3);
  const file = bzImage(payload);
  const { pieces, packed } = kernelBody(sourceOf(file));
  assertEquals([packed, pieces.length], [true, 1]);
  const [{ offset, size } = { offset: 0, size: 0 }] = pieces;
  assertEquals(file.slice(offset, offset + size), payload);
});

Deno.test("a payload beyond the end of its file is refused", () => {
  const file = bzImage(new Uint8Array(16));
  new DataView(file.buffer).setUint32(0x24c, file.length, true);
  assertThrows(() => kernelBody(sourceOf(file)), Error, "truncated");
});
