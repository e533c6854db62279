/** Configuration space held as bytes. */
import { assertEquals } from "../../src/std/assert.ts";
import { ConfigBytes } from "../../src/virtio/config_bytes.ts";
import { NO_CONFIG } from "../../src/virtio/device.ts";

const SIZES = [1, 2, 4] as const;

function filled(): ConfigBytes {
  const config = new ConfigBytes(7);
  config.update((view) => {
    for (let i = 0; i < 7; i++) view.setUint8(i, 0xf1 + i);
  });
  return config;
}

for (const size of SIZES) {
  Deno.test(`reads of ${size} bytes give the byte-wise view at every offset, and 0 past the end`, () => {
    const config = filled();
    for (let offset = 0; offset < 12; offset++) {
      const bytes = Array.from({ length: size }, (_, i) => offset + i < 7 ? 0xf1 + offset + i : 0);
      const expected = bytes.reduceRight((value, byte) => value * 256 + byte, 0);
      assertEquals(config.read(offset, size), expected, `offset ${offset}`);
    }
  });

  Deno.test(`writes of ${size} bytes hand over bytes inside the space only`, () => {
    const seen: [number, number][] = [];
    const config = new ConfigBytes(7, (offset, value) => seen.push([offset, value]));
    config.write(5, size, 0x8899_aabb);
    config.write(7, size, 0x8899_aabb);
    config.write(0xffff_fe00, size, 0x8899_aabb);
    assertEquals(seen, ([[5, 0xbb], [6, 0xaa]] as [number, number][]).slice(0, size));
  });
}

Deno.test("without a write handler the space is read-only", () => {
  const config = filled();
  config.write(0, 4, 0);
  assertEquals(config.read(0, 4), 0xf4f3_f2f1);
});

Deno.test("a device that asks for it sees what is read, and is known to", () => {
  const seen: [number, number][] = [];
  const config = new ConfigBytes(4, undefined, (offset, size) => seen.push([offset, size]));
  config.read(0, 2);
  config.read(9, 4);
  assertEquals(seen, [[0, 2], [9, 4]]);
  assertEquals([config.seesReads, filled().seesReads, NO_CONFIG.seesReads], [true, false, false]);
});

Deno.test("an update is one new generation, however many fields it changes", () => {
  const config = new ConfigBytes(4);
  assertEquals(config.generation, 0);
  config.update((view) => {
    view.setUint16(0, 1);
    view.setUint16(2, 2);
  });
  assertEquals(config.generation, 1);
  config.store(0, 9);
  assertEquals(config.generation, 1);
});

Deno.test("no configuration space reads 0 everywhere", () => {
  NO_CONFIG.write(0, 4, 0xffff_ffff);
  assertEquals([NO_CONFIG.length, NO_CONFIG.generation, NO_CONFIG.read(0, 4)], [0, 0, 0]);
});
