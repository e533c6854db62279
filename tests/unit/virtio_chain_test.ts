/** Readers and writers over chains: any cut gives the same bytes. */
import { assert, assertEquals, assertThrows } from "../../src/std/assert.ts";
import { gpa } from "../../src/memory/guest_memory.ts";
import { ChainReader, ChainWriter } from "../../src/virtio/chain.ts";
import { InvariantError } from "../../src/virtio/faults.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import { iovecEntry } from "../support/fake_disk.ts";
import { concat, GuestRam, HIGH_BASE, pattern } from "../support/guest_ram.ts";

const LENGTH = 24;
/** Lengths of the pieces of 24 bytes. */
const CUTS: readonly (readonly number[])[] = [
  [24],
  [1, 23],
  [3, 21],
  [4, 4, 16],
  [2, 3, 5, 7, 7],
  Array.from({ length: 24 }, () => 1),
];

/** Where each piece of a cut lies: apart from each other, in both regions, at any alignment. */
function places(cut: readonly number[]): number[] {
  return cut.map((_, i) => (i % 2 === 0 ? 0x1000 : HIGH_BASE) + i * 0x101);
}

function readerOver(ram: GuestRam, cut: readonly number[], bytes: Uint8Array): ChainReader {
  const reader = new ChainReader();
  let done = 0;
  places(cut).forEach((at, i) => {
    const length = cut[i] ?? 0;
    ram.write(at, bytes.slice(done, done + length));
    const region = ram.memory.region(at, length);
    reader.addSpan(region, at - region.base, length);
    done += length;
  });
  return reader;
}

function writerOver(ram: GuestRam, cut: readonly number[]): ChainWriter {
  const writer = new ChainWriter();
  places(cut).forEach((at, i) => {
    const length = cut[i] ?? 0;
    const region = ram.memory.region(at, length);
    ram.allow(at, length);
    writer.addSpan(region, at - region.base, length);
  });
  return writer;
}

function contents(ram: GuestRam, cut: readonly number[]): Uint8Array {
  return concat(...places(cut).map((at, i) => ram.read(at, cut[i] ?? 0)));
}

for (const cut of CUTS) {
  const name = `cut as ${cut.join("+")}`;

  Deno.test(`a header written last lies in front of what was placed behind it, ${name}`, () => {
    const ram = new GuestRam();
    const writer = writerOver(ram, cut);
    writer.skip(8);
    writer.bytes(pattern(16, 9));
    writer.rewind();
    assertEquals(writer.remaining, LENGTH);
    writer.u32(0x0403_0201);
    writer.u32(0xf807_0605);
    assertEquals(writer.written, LENGTH);
    const header = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 0xf8);
    assertEquals(contents(ram, cut), concat(header, pattern(16, 9)));
    assertEquals(ram.firstForeignChange(), undefined);
  });

  Deno.test(`a reader gives numbers and bytes in order, ${name}`, () => {
    const bytes = pattern(LENGTH, 0x70);
    const view = new DataView(bytes.buffer);
    const reader = readerOver(new GuestRam(), cut, bytes);
    assertEquals(reader.remaining, LENGTH);
    assertEquals(reader.u32(), view.getUint32(0, true));
    assertEquals(reader.u8(), view.getUint8(4));
    assertEquals(reader.u16(), view.getUint16(5, true));
    assertEquals(reader.u32(), view.getUint32(7, true));
    const rest = new Uint8Array(10);
    reader.bytes(rest, 9);
    assertEquals([...rest], [...bytes.slice(11, 20), 0]);
    reader.skip(3);
    assertEquals(reader.u8(), view.getUint8(23));
    assertEquals(reader.remaining, 0);
  });

  Deno.test(`a writer puts numbers and bytes in order, ${name}`, () => {
    const ram = new GuestRam();
    const writer = writerOver(ram, cut);
    writer.u32(0x8003_0201);
    writer.u8(5);
    writer.u16(0x0706);
    writer.bytes(pattern(30, 8), 16);
    assertEquals([writer.written, writer.remaining], [23, 1]);
    writer.u8(24);
    assertEquals([...contents(ram, cut)], [1, 2, 3, 0x80, 5, 6, 7, ...pattern(16, 8), 24]);
    assertEquals(ram.firstForeignChange(), undefined);
  });

  Deno.test(`skipping counts as moved, not as written, ${name}`, () => {
    const ram = new GuestRam();
    const writer = writerOver(ram, cut);
    writer.skip(LENGTH - 1);
    writer.u8(0x55);
    assertEquals(writer.written, 1);
    assertEquals(contents(ram, cut).at(-1), 0x55);
  });

  Deno.test(`taking gives every byte once, as addresses, ${name}`, () => {
    const ram = new GuestRam();
    const bytes = pattern(LENGTH, 0x30);
    const reader = readerOver(ram, cut, bytes);
    const list = new IovecList(1);
    assertEquals(reader.take(list, 5), 5);
    assertEquals(reader.take(list, 0), 0);
    assertEquals(reader.take(list, 1000), LENGTH - 5);
    assertEquals([reader.remaining, list.bytes], [0, LENGTH]);
    const parts = Array.from({ length: list.count }, (_, i) => {
      const { address, length } = iovecEntry(list, i);
      return ram.hostBytes(address, length);
    });
    assertEquals(concat(...parts), bytes);
    assertEquals(list.count, cut.length, "a take that goes on inside a span makes no new entry");
  });
}

Deno.test("a take leaves the cursor where the next access goes on", () => {
  const reader = readerOver(new GuestRam(), [10, 14], pattern(LENGTH));
  reader.take(new IovecList(), 12);
  assertEquals(reader.u8(), 12);
});

Deno.test("what the kernel wrote counts when committed", () => {
  const writer = writerOver(new GuestRam(), [10, 14]);
  writer.take(new IovecList(), 20);
  assertEquals(writer.written, 0);
  writer.commit(20);
  writer.u8(1);
  assertEquals(writer.written, 21);
});

Deno.test("moving past the end is our own bug, and moves nothing", () => {
  const reader = readerOver(new GuestRam(), [3], pattern(3));
  assertThrows(() => reader.u32(), InvariantError);
  assertThrows(() => reader.skip(4), InvariantError);
  assertThrows(() => reader.bytes(new Uint8Array(4)), InvariantError);
  assertEquals(reader.remaining, 3);
  const writer = writerOver(new GuestRam(), [3]);
  assertThrows(() => writer.bytes(new Uint8Array(4)), InvariantError);
  assertThrows(() => writer.skip(4), InvariantError);
  assertEquals([writer.remaining, writer.written], [3, 0]);
});

Deno.test("a cleared cursor starts from nothing, and holds more spans than before", () => {
  const ram = new GuestRam();
  const writer = writerOver(ram, [4]);
  writer.u32(1);
  writer.clear();
  assertEquals([writer.remaining, writer.written], [0, 0]);
  const { regions } = ram.memory;
  const [low] = regions;
  assert(low !== undefined);
  for (let i = 0; i < 100; i++) writer.addSpan(low, 0x2000 + 2 * i, 1);
  writer.bytes(pattern(100, 1));
  assertEquals(ram.memory.getU16(gpa(0x2000 + 2 * 99)) & 0xff, 100);
});
