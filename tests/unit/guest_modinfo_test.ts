/** What kernel modules say about themselves, and files that only look like modules. */
import { assertEquals, assertThrows } from "../../src/std/assert.ts";
import { InitramfsError } from "../../src/guest/initramfs/errors.ts";
import { readModuleInfo } from "../../src/guest/initramfs/modinfo.ts";
import { kernelModule, type ModuleOptions } from "../support/kernel_module.ts";

const BEYOND = 2n ** 64n - 1n;

/** Damage, and what the error says. */
const DAMAGED: readonly (readonly [ModuleOptions["damage"] & object, RegExp])[] = [
  [(view) => view.setUint8(0, 0), /not a 64-bit/],
  [(view) => view.setUint8(4, 1), /not a 64-bit/],
  [(view) => view.setUint8(5, 2), /not a 64-bit/],
  [(view) => view.setBigUint64(0x28, BEYOND, true), /section table/],
  [(view, { table }) => view.setBigUint64(0x28, BigInt(table + 25), true), /section table/],
  [(view) => view.setUint16(0x3c, 0xffff, true), /section table/],
  [(view) => view.setUint16(0x3a, 40, true), /section table/],
  [(view) => view.setUint16(0x3c, 0, true), /section names/],
  [(view) => view.setUint16(0x3e, 3, true), /section names/],
  [(view) => view.setUint16(0x3e, 0xffff, true), /section names/],
  [(view, { table }) => view.setBigUint64(table + 128 + 0x18, BEYOND, true), /section names/],
  [(view, { table }) => view.setBigUint64(table + 64 + 0x18, BEYOND, true), /\.modinfo is damaged/],
  [(view, { table }) => view.setBigUint64(table + 64 + 0x20, BEYOND, true), /\.modinfo is damaged/],
  [(view, { table }) => view.setUint32(table + 64 + 4, 8, true), /\.modinfo is damaged/], // NOBITS
  [(view, { table }) => view.setUint32(table + 64, 0xffffffff, true), /no section \.modinfo/],
];

Deno.test("modinfo: dependencies and the kernel's release are read, names with one spelling", () => {
  const info = readModuleInfo(
    kernelModule([
      "license=GPL",
      "softdep=pre: crc32c aes-x86 post: late",
      "alias=virtio:d00000002v*",
      "softdep=pre: more",
      "softdep=for nobody",
      "depends=virtio,vmw-vsock-virtio_common",
      "vermagic=6.1.0-1-cloud-amd64 SMP preempt mod_unload",
      "no equals sign",
    ]),
    "x.ko",
  );
  assertEquals(info, {
    depends: ["virtio", "vmw_vsock_virtio_common"],
    before: ["crc32c", "aes_x86", "more"],
    after: ["late"],
    release: "6.1.0-1-cloud-amd64",
  });
});

Deno.test("modinfo: a module that needs nothing", () => {
  const nothing = { depends: [], before: [], after: [] };
  assertEquals(readModuleInfo(kernelModule(["depends="]), "x.ko"), nothing);
  assertEquals(readModuleInfo(kernelModule([]), "x.ko"), nothing);
});

Deno.test("modinfo: a module is read where it lies in a larger buffer", () => {
  const module = kernelModule(["depends=a"]);
  const buffer = new Uint8Array(module.length + 20).fill(0xff);
  buffer.set(module, 13);
  const view = buffer.subarray(13, 13 + module.length);
  assertEquals(readModuleInfo(view, "x.ko").depends, ["a"]);
});

Deno.test("modinfo: what points outside the file is refused, with the file's name", () => {
  for (const [damage, words] of DAMAGED) {
    const error = assertThrows(
      () => readModuleInfo(kernelModule(["depends=a"], { damage }), "dir/x.ko"),
      InitramfsError,
    );
    assertEquals(error.code, "INITRD_MODULE_FORMAT");
    assertEquals(words.test(error.message), true, `${error.message} for ${words}`);
    assertEquals(error.message.includes('"dir/x.ko"'), true);
  }
  const other = kernelModule(["depends=a"], { section: ".modinfo2" });
  assertThrows(() => readModuleInfo(other, "x.ko"), InitramfsError, "no section .modinfo");
});

Deno.test("modinfo: a file cut off anywhere is refused or gives what is whole, and nothing else is thrown", () => {
  const module = kernelModule(["depends=alpha,beta"]);
  for (let length = 0; length < module.length; length++) {
    try {
      assertEquals(readModuleInfo(module.subarray(0, length), "x.ko").depends, ["alpha", "beta"]);
    } catch (error) {
      if (!(error instanceof InitramfsError)) throw error;
    }
  }
});

Deno.test("modinfo: no single byte's change makes the reader fail in another way", () => {
  const module = kernelModule(["depends=alpha,beta"]);
  for (let at = 0; at < module.length; at++) {
    for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
      const changed = module.slice();
      changed[at] = value;
      try {
        readModuleInfo(changed, "x.ko");
      } catch (error) {
        if (!(error instanceof InitramfsError)) throw error;
      }
    }
  }
});
