/** Names for instructions KVM could not emulate. */
import assert from "node:assert/strict";
import { explainEmulationFailure } from "../../src/arch/vcpu.ts";

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text.split(" ").filter((s) => s !== ""), (s) => parseInt(s, 16));
}

/** Bytes, and the name; trailing bytes behind `|` belong to the next instruction and must not be shown. */
const INSTRUCTIONS: readonly (readonly [string, string])[] = [
  ["cc | 90", "int3"],
  ["9b | 90", "fwait"],
  ["f3 0f b8 c1 | 90", "popcnt"],
  ["f3 48 0f b8 47 08 | 90", "popcnt"],
  ["0f 01 ca | c3", "clac"],
  ["0f 01 cb | c3", "stac"],
  ["f0 48 0f c7 0f | 75 01", "lock cmpxchg16b"],
  ["f0 48 0f c7 8c 24 80 00 00 00 | 75", "lock cmpxchg16b"],
  ["0f c7 0f | 90", "cmpxchg8b"],
  ["48 0f ae 27 | 90", "xsave"],
  ["48 0f ae 2f | 90", "xrstor"],
  ["48 0f ae 37 | 90", "xsaveopt"],
  ["48 0f c7 27 | 90", "xsavec"],
  ["48 0f c7 2f | 90", "xsaves"],
  ["48 0f c7 1f | 90", "xrstors"],
  ["0f ae 07 | 90", "fxsave"],
  ["0f ae f0 | 90", "mfence"],
  ["48 0f c7 f0 | 90", "rdrand"],
  ["48 0f c7 f8 | 90", "rdseed"],
  ["f3 0f c7 f8 | 90", "rdpid"],
  ["66 0f 38 82 04 24 | 90", "invpcid"],
  ["0f 01 c1 | 90", "vmcall"],
  ["0f 01 d9 | 90", "vmmcall"],
  ["0f 01 d1 | 90", "xsetbv"],
  ["0f 01 15 10 20 30 40 | 90", "lgdt"],
  ["0f 0b | 90", "ud2"],
  ["f3 0f ae d0 | 90", "wrfsbase"],
  ["0f 05 | 90", "syscall"],
  ["48 0f 07 | 90", "sysret"],
  ["f3 0f bc c0 | 90", "tzcnt"],
  ["f2 48 0f 38 f1 c2 | 90", "crc32"],
  ["0f 38 f0 00 | 90", "movbe"],
  ["66 0f ef c0 | 90", "an SSE instruction"],
  ["66 0f 70 c0 1b | 90", "an SSE instruction"],
  ["0f 28 04 c5 01 02 03 04 | 90", "an SSE instruction"],
  ["d9 45 fc | 90", "an x87 floating-point instruction"],
  ["c5 f9 6f 07", "an AVX instruction (VEX)"],
  ["62 f1 7c 48 28 07", "an AVX-512 instruction (EVEX)"],
  ["cd 80 | 90", "int 0x80"],
];

for (const [text, name] of INSTRUCTIONS) {
  Deno.test(`explain: ${name} in ${text}`, () => {
    const shown = (text.split("|")[0] ?? "").trim();
    const failure = explainEmulationFailure(bytesOf(text.replace("|", "")), 0xffff_ffff_8100_0000n);
    assert.equal(failure.instruction, name);
    assert.equal(failure.text, `${name} (${shown}) at RIP 0xffffffff81000000`);
  });
}

Deno.test("explain: unknown, missing and cut-off bytes never throw", () => {
  assert.equal(
    explainEmulationFailure(bytesOf("90"), 0x10n).text,
    "instruction bytes 90 at RIP 0x10",
  );
  assert.match(explainEmulationFailure(new Uint8Array(0), 0x10n).text, /did not say which/);
  for (const [text] of INSTRUCTIONS) {
    const bytes = bytesOf(text.replace("|", ""));
    for (let length = 0; length < bytes.length; length++) {
      assert(explainEmulationFailure(bytes.slice(0, length), 0n).text.length > 0);
    }
  }
  for (let first = 0; first < 256; first++) {
    for (let second = 0; second < 256; second++) {
      explainEmulationFailure(Uint8Array.of(0x66, 0xf, first, second), 0n);
    }
  }
});
