/** x86's device tree as Debian's dtc reads it, which is installed first where we may. Needs no KVM. */
import { architecture } from "../../src/arch/mod.ts";
import { assertEquals, assertStringIncludes } from "../../src/std/assert.ts";
import { missingProgram } from "../support/debian_program.ts";

const missing = await missingProgram("dtc", "--version", "device-tree-compiler");

/** The tree source, and what dtc complains of. */
async function decompile(blob: Uint8Array): Promise<{ source: string; complaints: string }> {
  const child = new Deno.Command("dtc", {
    args: ["-I", "dtb", "-O", "dts", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stdin = child.stdin.getWriter();
  await stdin.write(blob);
  await stdin.close();
  const { stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { source: text(stdout).replace(/\s+/g, " "), complaints: text(stderr) };
}

Deno.test({
  name: "dtc reads the x86 tree without a warning, and finds what Linux looks for",
  ignore: missing !== undefined,
  fn: async () => {
    const x86 = architecture("x86_64");
    const { source, complaints } = await decompile(x86.deviceTree({
      vcpus: 2,
      cmdline: "console=ttyS0 root=/dev/vda",
      devices: [...x86.fixedSlots, x86.virtioSlot(0, "disk"), x86.virtioSlot(2, "net")],
    }));

    assertEquals(complaints, "");
    const parts = [
      'chosen { bootargs = "console=ttyS0 root=/dev/vda"; };',
      'cpu@1 { device_type = "cpu"; compatible = "intel,ce4100"; reg = <0x01>; };',
      'interrupt-controller@fec00000 { compatible = "intel,ce4100-ioapic";',
      'interrupt-controller@fee00000 { compatible = "intel,ce4100-lapic";',
      'virtio_mmio@d0001000 { compatible = "virtio,mmio"; reg = <0xd0001000 0x1000>; interrupts = <0x05 0x03>; };',
      'virtio_mmio@d0003000 { compatible = "virtio,mmio"; reg = <0xd0003000 0x1000>; interrupts = <0x0a 0x03>; };',
    ];
    for (const part of parts) assertStringIncludes(source, part);
    assertEquals(source.includes("serial"), false, "devices with fixed places have no node");
    assertEquals(source.includes("memory@"), false, "x86 Linux has a BUG() there");
  },
});
