/** xz, lzma and lz4 by the host's libraries: the same as what the runtime does for gzip and zstd. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../../src/std/assert.ts";
import { decompress, DecompressError } from "../../src/sys/decompress.ts";
import { openLibrary } from "../../src/sys/shared_library.ts";
import { codeOf, decompressTests, joined } from "../support/decompress_cases.ts";
import { LIBRARY_SAMPLES, type PackedSample, SAMPLE } from "../support/packed_samples.ts";

LIBRARY_SAMPLES.forEach(decompressTests);

function sampleBy(made: string): PackedSample["bytes"] {
  const found = LIBRARY_SAMPLES.find((sample) => sample.made === made);
  assert(found !== undefined, made);
  return found.bytes;
}

Deno.test("legacy lz4 data of several blocks is unpacked, and may be followed by another magic", () => {
  const bytes = sampleBy("lz4 -l");
  const twice = joined(bytes, bytes.subarray(4));
  assertEquals(decompress(twice), joined(SAMPLE, SAMPLE));
  assertEquals(decompress(joined(twice, Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0))).length, 8000);
});

Deno.test("a wrong byte in xz data is found", () => {
  const bytes = sampleBy("xz -6 --check=crc32").slice();
  bytes[60] = (bytes[60] ?? 0) ^ 1;
  assertEquals(codeOf(bytes), "COMPRESSED_CORRUPT");
});

Deno.test("lz4 data that points before its start is refused", () => {
  const bytes = sampleBy("lz4 -l").slice();
  bytes[8] = 0x0f; // no literals before the match
  assertEquals(codeOf(bytes), "COMPRESSED_CORRUPT");
});

Deno.test("an lzma header that asks for gigabytes is refused before they are allocated", () => {
  const bytes = sampleBy("lzma -6").slice();
  bytes.set([0, 0, 0, 0xc0], 1); // a dictionary of 3 GiB
  assertEquals(codeOf(bytes), "COMPRESSED_TOO_BIG");
});

Deno.test("more comes out than fits one piece of memory", () => {
  // One legacy block of 8 MiB: a literal, then one match that repeats it.
  const size = 8 * 1024 * 1024 - 16;
  const extra = Math.floor((size - 19) / 255);
  const block = Uint8Array.from([
    0x1f,
    0x41,
    1,
    0,
    ...new Array(extra).fill(255),
    (size - 19) % 255,
    0x50,
    ...new TextEncoder().encode("AAAAA"),
  ]);
  const header = new Uint8Array(8);
  header.set([0x02, 0x21, 0x4c, 0x18]);
  new DataView(header.buffer).setUint32(4, block.length, true);
  const unpacked = decompress(joined(header, block, header.subarray(4), block));
  assertEquals(unpacked.length, 2 * (size + 1 + 5));
  assert(unpacked.every((byte) => byte === 0x41));
});

Deno.test("a library that is not there is named, with its package", () => {
  const open = () => openLibrary("libdinovisor.so.9", "libdinovisor9", {});
  const { code, message, hint } = assertThrows(open, DecompressError);
  assertEquals(code, "LIBRARY_MISSING");
  assertStringIncludes(message, "libdinovisor.so.9");
  assertStringIncludes(hint ?? "", "libdinovisor9");
});
