import { assertEquals, assertThrows } from "../../src/std/assert.ts";
import { architecture } from "../../src/arch/mod.ts";
import { readKrunKernel, wrapKernel } from "../support/krun_kernel.ts";

const LOAD = 0x1000000;
const KERNEL = Uint8Array.from({ length: 0x300 }, (_, index) => index & 0xff);

/** A shared library as libkrunfw is one: a bundle, and a function that stores three numbers. */
function library(numbers: readonly number[], exported = ["krunfw_get_kernel", "KERNEL_BUNDLE"]) {
  const file = new Uint8Array(0x1000);
  const view = new DataView(file.buffer);
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  u64(32, 64); // program headers
  view.setUint16(56, 1, true);
  u64(40, 0x100); // section headers: none, symbols, their names
  view.setUint16(60, 3, true);
  view.setUint32(64, 1, true); // PT_LOAD: the file from 0x400 on, at 0x10400
  u64(72, 0x400);
  u64(80, 0x10400);
  u64(96, 0xc00);
  view.setUint32(0x140 + 4, 11, true); // SHT_DYNSYM
  u64(0x140 + 24, 0x200);
  u64(0x140 + 32, 48);
  view.setUint32(0x140 + 40, 2, true);
  u64(0x180 + 24, 0x300);
  const [getter = "", bundle = ""] = exported;
  file.set(new TextEncoder().encode(`${getter}\0${bundle}\0`), 0x300);
  const code = numbers.flatMap((number) => {
    const bytes = new Uint8Array(Uint32Array.of(number).buffer);
    return [0x48, 0x8b, 0x45, 0xf8, 0x48, 0xc7, 0x00, ...bytes];
  });
  u64(0x208, 0x10400);
  u64(0x210, code.length);
  file.set(code, 0x400);
  view.setUint32(0x218, getter.length + 1, true);
  u64(0x220, 0x10800);
  u64(0x228, KERNEL.length);
  file.set(KERNEL, 0x800);
  return file;
}

Deno.test("libkrunfw's kernel is found in the library and becomes an ELF that loads", () => {
  const raw = readKrunKernel(library([LOAD, LOAD + 0x123, KERNEL.length]));
  assertEquals(raw, { bytes: KERNEL, load: LOAD, entry: LOAD + 0x123 });
  const file = wrapKernel(raw);
  const info = architecture("x86_64").inspectKernel({
    size: file.length,
    name: "krun",
    read: (at, into) => into.set(file.subarray(at, at + into.length)),
  });
  assertEquals([info.format, info.entry, info.pvhEntry], ["elf64", LOAD + 0x123, undefined]);
  assertEquals([info.lowest, info.highest], [LOAD, LOAD + KERNEL.length]);
  assertEquals(file.slice(-KERNEL.length), KERNEL);
});

Deno.test("a library that is not as expected is refused", () => {
  const wrong = [
    library([LOAD, LOAD + 0x123]),
    library([LOAD, LOAD + 0x123, KERNEL.length + 1]),
    library([LOAD, LOAD - 1, KERNEL.length]),
    library([LOAD, LOAD + KERNEL.length, KERNEL.length]),
    library([LOAD, LOAD, KERNEL.length], ["krunfw_get_initrd", "KERNEL_BUNDLE"]),
    new Uint8Array(64),
  ];
  for (const file of wrong) assertThrows(() => readKrunKernel(file));
});
