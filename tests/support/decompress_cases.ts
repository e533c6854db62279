/** What holds for every packed sample. Registered by the unit tier for what the runtime unpacks, else by integration. */
import { assertEquals, assertThrows } from "../../src/std/assert.ts";
import { compressionOf, decompress, DecompressError } from "../../src/sys/decompress.ts";
import { type PackedSample, SAMPLE } from "./packed_samples.ts";

/** What the kernel's build appends, zeroes of a padded file, the start of another stream, text. */
const TAILS = [
  [0xa0, 0x0f, 0, 0],
  [0, 0, 0, 0, 0, 0, 0, 0],
  [0x1f, 0x8b, 8, 0],
  [0x30, 0x37, 0x30, 0x37, 0x30, 0x31],
];

/** Registers the tests for `sample`. */
export function decompressTests(sample: PackedSample): void {
  const { made, kind, bytes } = sample;

  Deno.test(`what ${made} has packed is unpacked`, () => {
    assertEquals(compressionOf(bytes.subarray(0, 6)), kind);
    assertEquals(decompress(bytes), SAMPLE);
  });

  Deno.test(`bytes behind what ${made} has packed do not matter`, () => {
    for (const tail of TAILS) {
      assertEquals(decompress(joined(bytes, Uint8Array.from(tail))), SAMPLE, `${tail}`);
    }
  });

  Deno.test(`the output of ${made} is refused when its end is missing`, () => {
    // lz4 -l ends with its last block: nothing is missing without what follows.
    for (const length of [bytes.length - 1, bytes.length - 9, bytes.length >> 1]) {
      assertEquals(codeOf(bytes.slice(0, length)), "COMPRESSED_TRUNCATED", `${length} bytes`);
    }
  });

  Deno.test(`no more comes out of the output of ${made} than was asked for`, () => {
    assertEquals(decompress(bytes, { maxBytes: SAMPLE.length }).length, SAMPLE.length);
    const maxBytes = SAMPLE.length - 1;
    assertEquals(codeOf(bytes, maxBytes), "COMPRESSED_TOO_BIG");
  });
}

/** The code of the error that unpacking `bytes` ends with. */
export function codeOf(bytes: Uint8Array<ArrayBuffer>, maxBytes?: number): string {
  const options = maxBytes === undefined ? {} : { maxBytes };
  return assertThrows(() => decompress(bytes, options), DecompressError).code;
}

/** All of `pieces` in one. */
export function joined(...pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
