/** Entry protocols, ways to tell a guest about its devices, and RAM above the hole below 4 GiB. */
import { assertEquals } from "../../src/std/assert.ts";
import { runCli, runTinyCli } from "../support/cli_process.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { buildTinyGuest } from "../guest/build.ts";
import { kvmTest } from "../support/kvm.ts";

const GIB = 2 ** 30;
const LOAD_ADDRESS = 0x10_0000;
const PASSED = 42;

kvmTest("the tiny guest is entered by PVH and finds its devices on the command line", async () => {
  const { code, stdout } = await runTinyCli("test=console", ["--discovery", "cmdline"]);
  assertEquals({ code, stdout }, { code: 0, stdout: "hello from hvc0\n" });
});

kvmTest(
  "with a device tree it is entered at the 64-bit entry, with no device words added",
  async () => {
    const without = await runTinyCli("test=console", ["--discovery", "fdt"]);
    assertEquals(without.code, 1); // the tiny guest reads no device tree: it has no console
    const words = "virtio_mmio.device=4K@0xd0001000:5 test=console";
    const { code, stdout } = await runTinyCli(words, ["--discovery", "fdt"]);
    assertEquals({ code, stdout }, { code: 0, stdout: "hello from hvc0\n" });
  },
);

kvmTest("--cmdline-only leaves the user's words and the device words", async () => {
  using directory = new DiskDirectory();
  const disk = directory.empty("only.img", 8192);
  const args = ["-k", await buildTinyGuest(), "--disk", disk, "--cmdline-only", "test=blk-info"];
  const { code, stdout } = await runCli(["run", ...args]);
  assertEquals(code, 0);
  assertEquals(stdout.includes("\nid only.img\n"), true, stdout);
});

/** A static 64-bit ELF without notes: `code` at 1 MiB, which is also its entry. */
function elfOf(code: readonly number[]): Uint8Array {
  const header = 64 + 56, size = header + code.length;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // ELFCLASS64, little-endian, version 1
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(LOAD_ADDRESS), true); // e_entry
  view.setBigUint64(32, 64n, true); // e_phoff
  view.setUint16(52, 64, true); // e_ehsize
  view.setUint16(54, 56, true); // e_phentsize
  view.setUint16(56, 1, true); // e_phnum
  view.setUint32(64, 1, true); // PT_LOAD
  view.setUint32(68, 5, true); // readable, executable
  view.setBigUint64(72, BigInt(header), true); // p_offset
  view.setBigUint64(80, BigInt(LOAD_ADDRESS), true); // p_vaddr
  view.setBigUint64(88, BigInt(LOAD_ADDRESS), true); // p_paddr
  view.setBigUint64(96, BigInt(code.length), true); // p_filesz
  view.setBigUint64(104, BigInt(code.length), true); // p_memsz
  view.setBigUint64(112, 4096n, true); // p_align
  bytes.set(code, header);
  return bytes;
}

function quad(value: number): number[] {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return [...bytes];
}

/** `mov rax, value` and `mov rbx, value`. */
function movRax(value: number): number[] {
  return [0x48, 0xb8, ...quad(value)];
}
function movRbx(value: number): number[] {
  return [0x48, 0xbb, ...quad(value)];
}

/** `out 0xf4, al` with al = `status`, then a loop for a machine that goes on. */
function exitWith(status: number): number[] {
  return [0xb0, status, 0xe6, 0xf4, 0xeb, 0xfe];
}

/** A program that stores a different value at each address, then reads all of them back. */
function memoryProbe(addresses: readonly number[]): number[] {
  const fail = exitWith(1);
  const stores = addresses.flatMap((address, i) => [
    ...movRax(address),
    ...movRbx(0x1122_3344_0000 + i),
    ...[0x48, 0x89, 0x18], // mov [rax], rbx
  ]);
  const checks = addresses.flatMap((address, i) => [
    ...movRax(address),
    ...movRbx(0x1122_3344_0000 + i),
    ...[0x48, 0x39, 0x18], // cmp [rax], rbx
    ...[0x74, fail.length, ...fail], // je past the failure
  ]);
  return [...stores, ...checks, ...exitWith(PASSED)];
}

async function runProbe(mem: string, addresses: readonly number[]): Promise<number> {
  using directory = new DiskDirectory();
  const image = `${directory.path}/probe.elf`;
  Deno.writeFileSync(image, elfOf(memoryProbe(addresses)));
  return (await runCli(["run", "-k", image, "-m", mem, "--timeout", "20s"])).code;
}

kvmTest("an ELF without a PVH note starts at its 64-bit entry", async () => {
  assertEquals(await runProbe("16M", [0x20_0000, 0x80_0000]), PASSED);
});

kvmTest("5 GiB of RAM are 3 below the hole and 2 above it, none of it twice", async () => {
  const code = await runProbe("5G", [
    2 * GIB,
    3 * GIB - 8, // the last word below the hole
    4 * GIB, // the first above it
    5 * GIB,
    6 * GIB - 8, // the last there is
    1 * GIB, // what a mapping that wraps would share with 5 GiB
  ]);
  assertEquals(code, PASSED);
});

kvmTest("there is no RAM in the hole, nor behind the end", async () => {
  for (const address of [3 * GIB, 6 * GIB]) {
    assertEquals(await runProbe("5G", [address]) === PASSED, false);
  }
});
