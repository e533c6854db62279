/** gzip and zstd, which the runtime unpacks without any permission; what is refused without being looked at. */
import { assertEquals, assertStringIncludes, assertThrows } from "../../src/std/assert.ts";
import { compressionOf, decompress, DecompressError } from "../../src/sys/decompress.ts";
import { codeOf, decompressTests } from "../support/decompress_cases.ts";
import { RUNTIME_SAMPLES } from "../support/packed_samples.ts";

RUNTIME_SAMPLES.forEach(decompressTests);

for (const { made, bytes } of RUNTIME_SAMPLES.filter(({ made }) => !made.includes("no-check"))) {
  Deno.test(`a wrong byte in the checksum of ${made} is found`, () => {
    const place = made.startsWith("gzip") ? -8 : -1;
    const damaged = bytes.with(bytes.length + place, (bytes.at(place) ?? 0) ^ 1);
    assertEquals(codeOf(damaged), "COMPRESSED_CORRUPT");
  });
}

Deno.test("headers that never end are refused", () => {
  // FNAME without its NUL, FEXTRA longer than the file.
  for (const [flags, ...rest] of [[8, 0x61, 0x61], [4, 0xff, 0xff, 0]]) {
    const header = [0x1f, 0x8b, 8, flags ?? 0, 0, 0, 0, 0, 0, 3, ...rest];
    assertEquals(codeOf(Uint8Array.from(header)), "COMPRESSED_TRUNCATED", `flags ${flags}`);
  }
  assertEquals(codeOf(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)), "COMPRESSED_TRUNCATED");
  // A frame of empty raw blocks, none of them the last.
  const endless = new Uint8Array(4096);
  endless.set([0x28, 0xb5, 0x2f, 0xfd, 0, 0x10]);
  assertEquals(codeOf(endless), "COMPRESSED_TRUNCATED");
});

Deno.test("bzip2, lzo and what is not packed at all are refused with the reason", () => {
  const refused: readonly (readonly [string | undefined, readonly number[], string])[] = [
    ["bzip2", [0x42, 0x5a, 0x68, 0x39, 0x31, 0x41], "bzip2"],
    ["lzo", [0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d], "lzo"],
    [undefined, [0x7f, 0x45, 0x4c, 0x46, 2, 1], "no known compression"],
    [undefined, [], "no known compression"],
  ];
  for (const [kind, head, words] of refused) {
    const bytes = Uint8Array.from(head);
    assertEquals(compressionOf(bytes), kind);
    const error = assertThrows(() => decompress(bytes), DecompressError);
    assertEquals(error.code, "COMPRESSION_UNSUPPORTED");
    assertStringIncludes(error.message, words);
  }
});
