/** AML terms and resource descriptors against bytes worked out by hand from ACPI 6.5, chapters 6.4 and 20.2. */
import * as aml from "../../src/arch/x86_64/acpi/aml.ts";
import * as resources from "../../src/arch/x86_64/acpi/resources.ts";
import { assertEquals, assertThrows } from "../../src/std/assert.ts";

/** `"1c 5f"` and `"'_SB_'"` as bytes: text between quotes stands for its characters. */
function bytesOf(text: string): number[] {
  return text.split(" ").flatMap((word) =>
    word.startsWith("'")
      ? Array.from(word.slice(1, -1), (character) => character.charCodeAt(0))
      : [parseInt(word, 16)]
  );
}

const TERMS: readonly (readonly [name: string, term: aml.Aml, bytes: string])[] = [
  ["a name is filled up with underscores", aml.nameString("A"), "'A___'"],
  ["a name of four characters stands as it is", aml.nameString("COM1"), "'COM1'"],
  ["a name may begin with an underscore", aml.nameString("_S5"), "'_S5_'"],
  ["the root alone has a null name", aml.nameString("\\"), "5c 00"],
  ["a name under the root", aml.nameString("\\_SB"), "5c '_SB_'"],
  ["two segments have a prefix of their own", aml.nameString("\\_SB.PWRB"), "5c 2e '_SB_PWRB'"],
  ["two segments without a root", aml.nameString("_SB.GED"), "2e '_SB_GED_'"],
  ["more segments are counted", aml.nameString("\\_SB.A.B9"), "5c 2f 03 '_SB_A___B9__'"],
  ["0 is an operation", aml.integer(0), "00"],
  ["1 is an operation", aml.integer(1), "01"],
  ["2 is a byte", aml.integer(2), "0a 02"],
  ["255 is a byte", aml.integer(0xff), "0a ff"],
  ["256 is a word", aml.integer(0x100), "0b 00 01"],
  ["65535 is a word", aml.integer(0xffff), "0b ff ff"],
  ["65536 is a double word", aml.integer(0x1_0000), "0c 00 00 01 00"],
  ["addresses are double words", aml.integer(0xd000_1000), "0c 00 10 00 d0"],
  ["2**32 - 1 is a double word", aml.integer(0xffff_ffff), "0c ff ff ff ff"],
  ["2**32 is a quad word", aml.integer(2 ** 32), "0e 00 00 00 00 01 00 00 00"],
  [
    "the largest exact number is a quad word",
    aml.integer(Number.MAX_SAFE_INTEGER),
    "0e ff ff ff ff ff ff 1f 00",
  ],
  ["a string ends with NUL", aml.string("LNRO0005"), "0d 'LNRO0005' 00"],
  ["an empty string", aml.string(""), "0d 00"],
  // Letters are 5 bits each, A = 1: P 10000, N 01110, P 10000 -> 0 10000 01 | 110 10000.
  ["PNP0501 as a number", aml.eisaId("PNP0501"), "0c 41 d0 05 01"],
  ["PNP0C0C as a number", aml.eisaId("PNP0C0C"), "0c 41 d0 0c 0c"],
  // A 00001, Z 11010, B 00010 -> 0 00001 11 | 010 00010.
  ["an id of other letters", aml.eisaId("AZBFFFF"), "0c 07 42 ff ff"],
  ["a package counts its elements", aml.packageOf(aml.integer(5), [0]), "12 05 02 0a 05 00"],
  ["an empty package", aml.packageOf(), "12 02 00"],
  ["a buffer says its size", aml.buffer([0x79, 0]), "11 05 0a 02 79 00"],
  ["an empty buffer", aml.buffer([]), "11 02 00"],
  ["a name and its value", aml.name("_UID", aml.integer(1)), "08 '_UID' 01"],
  ["a scope", aml.scope("\\_SB", aml.name("A", [0])), "10 0c 5c '_SB_' 08 'A___' 00"],
  ["a scope of nothing", aml.scope("\\"), "10 03 5c 00"],
  ["a device", aml.device("RTC", aml.name("A", [1])), "5b 82 0b 'RTC_' 08 'A___' 01"],
  ["a method", aml.method("_EVT", 1, [0xa3]), "14 07 '_EVT' 09 a3"],
  ["a method of seven arguments", aml.method("M", 7), "14 06 'M___' 0f"],
  ["a comparison of the first argument", aml.ifArg0(9, [0xa3]), "a0 06 93 68 0a 09 a3"],
  ["a notification", aml.notify("\\_SB.PWRB", 0x80), "86 5c 2e '_SB_PWRB' 0a 80"],
  [
    "fixed memory",
    resources.memory32Fixed(0xd000_1000, 0x1000),
    "86 09 00 01 00 10 00 d0 00 10 00 00",
  ],
  ["ports", resources.ioPorts(0x3f8, 8), "47 01 f8 03 f8 03 01 08"],
  ["a line of its own", resources.interrupt(9, "exclusive"), "89 06 00 03 01 09 00 00 00"],
  ["a shared line", resources.interrupt(0x105, "shared"), "89 06 00 0b 01 05 01 00 00"],
  [
    "a template ends with a tag",
    resources.resourceTemplate(resources.ioPorts(0x70, 2)),
    "11 0d 0a 0a 47 01 70 00 70 00 01 02 79 00",
  ],
  ["an empty template", resources.resourceTemplate(), "11 05 0a 02 79 00"],
];

for (const [name, term, bytes] of TERMS) {
  Deno.test(`AML: ${name}`, () => assertEquals(term, bytesOf(bytes)));
}

// A scope `\` has a name of two bytes: the length counts those, its own bytes and the filling.
const LENGTHS: readonly (readonly [filling: number, length: string])[] = [
  [0x3f - 3, "3f"],
  [0x40 - 3, "41 04"], // 0x41: one byte more for the length itself
  [0xfff - 4, "4f ff"],
  [0x1000 - 4, "81 00 01"],
  [0xf_ffff - 5, "8f ff ff"],
  [0x10_0000 - 5, "c1 00 00 01"],
];
for (const [filling, length] of LENGTHS) {
  Deno.test(`AML: a package of ${filling} bytes has the length ${length}`, () => {
    const term = aml.scope("\\", new Array<number>(filling).fill(0xa3));
    const head = bytesOf(`10 ${length} 5c 00`);
    assertEquals(term.slice(0, head.length), head);
    assertEquals(term.length, head.length + filling);
  });
}

for (
  const path of ["", "a", "ABCDE", "1ABC", "A-B", "A.", ".A", "_SB\\A", "\\_SB..A", "Ä", "A B"]
) {
  Deno.test(`AML: '${path}' is not a name`, () => {
    assertThrows(() => aml.nameString(path), TypeError);
  });
}

Deno.test("AML: what the language cannot say is refused", () => {
  for (const value of [-1, 1.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => aml.integer(value), TypeError, `integer ${value}`);
  }
  for (const text of ["\0", "ä", "\u{1f600}"]) assertThrows(() => aml.string(text), TypeError);
  for (const id of ["", "PNP05", "pnp0501", "PN00501", "PNP050G", "PNP05011"]) {
    assertThrows(() => aml.eisaId(id), TypeError, id);
  }
  for (const count of [-1, 8, 1.5, NaN]) assertThrows(() => aml.method("M", count), TypeError);
  const many = (count: number) => Array.from({ length: count }, () => aml.integer(0));
  assertEquals(aml.packageOf(...many(255)).slice(0, 4), bytesOf("12 42 10 ff"));
  assertThrows(() => aml.packageOf(...many(256)), TypeError);
  const path = (segments: number) => new Array(segments).fill("A").join(".");
  assertEquals(aml.nameString(path(255)).slice(0, 2), [0x2f, 255]);
  assertThrows(() => aml.nameString(path(256)), TypeError);
});

Deno.test("AML: numbers are cut into bytes, the lowest first", () => {
  assertEquals(aml.littleEndian(0x1234_5678, 4), bytesOf("78 56 34 12"));
  assertEquals(aml.littleEndian(2 ** 40 + 1, 8), bytesOf("01 00 00 00 00 01 00 00"));
  for (const [value, size] of [[256, 1], [2 ** 32, 4], [-1, 4], [0.5, 8], [2 ** 53, 8]] as const) {
    assertThrows(() => aml.littleEndian(value, size), TypeError, `${value}`);
  }
});

Deno.test("resources: an address that has no room is refused, not cut", () => {
  assertThrows(() => resources.memory32Fixed(2 ** 32, 0x1000), TypeError);
  assertThrows(() => resources.ioPorts(0x1_0000, 8), TypeError);
});
