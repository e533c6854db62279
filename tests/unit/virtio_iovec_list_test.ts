/** The iovec list: merging, growth, and what is left after a short transfer. */
import { assertEquals, assertThrows } from "../../src/std/assert.ts";
import { InvariantError } from "../../src/virtio/faults.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import { iovecEntry } from "../support/fake_disk.ts";

const ABOVE_4_GIB = 0x7000_1234_5000;

function entries(list: IovecList): [number, number][] {
  return Array.from({ length: list.count }, (_, i) => {
    const { address, length } = iovecEntry(list, i);
    return [address, length];
  });
}

function listOf(...pieces: readonly [number, number][]): IovecList {
  const list = new IovecList(2);
  for (const [address, length] of pieces) list.add(address, length);
  return list;
}

Deno.test("pieces that touch become one entry, others stay apart", () => {
  const list = listOf([ABOVE_4_GIB, 16], [ABOVE_4_GIB + 16, 4], [ABOVE_4_GIB, 8]);
  assertEquals(entries(list), [[ABOVE_4_GIB, 20], [ABOVE_4_GIB, 8]]);
  assertEquals(list.bytes, 28);
});

Deno.test("an entry may be longer than 4 GiB", () => {
  const list = listOf([ABOVE_4_GIB, 0xffff_ffff], [ABOVE_4_GIB + 0xffff_ffff, 0x10]);
  assertEquals(entries(list), [[ABOVE_4_GIB, 0x1_0000_000f]]);
});

Deno.test("the list grows without losing entries", () => {
  const pieces = Array.from({ length: 100 }, (_, i): [number, number] => [i * 100, 10]);
  assertEquals(entries(listOf(...pieces)), pieces);
});

for (
  const { by, left } of [
    { by: 0, left: [[100, 10], [200, 10], [300, 10]] },
    { by: 1, left: [[101, 9], [200, 10], [300, 10]] },
    { by: 9, left: [[109, 1], [200, 10], [300, 10]] },
    { by: 10, left: [[200, 10], [300, 10]] },
    { by: 25, left: [[305, 5]] },
    { by: 30, left: [] },
  ]
) {
  Deno.test(`after ${by} of 30 bytes the rest starts where the transfer stopped`, () => {
    const list = listOf([100, 10], [200, 10], [300, 10]);
    list.advance(by);
    assertEquals(entries(list), left as [number, number][]);
    assertEquals(list.bytes, 30 - by);
  });
}

Deno.test("advancing byte by byte walks through everything", () => {
  const list = listOf([100, 3], [200, 2]);
  const starts: number[] = [];
  for (let i = 0; i < 5; i++) {
    starts.push(iovecEntry(list, 0).address);
    list.advance(1);
  }
  assertEquals(starts, [100, 101, 102, 200, 201]);
});

Deno.test("advancing further than there is is our own bug", () => {
  assertThrows(() => listOf([100, 10]).advance(11), InvariantError);
});

Deno.test("a cleared list is empty and works again", () => {
  const list = listOf([100, 10], [200, 10]);
  list.clear();
  assertEquals([list.count, list.bytes], [0, 0]);
  list.add(210, 5); // touches the entry that was cleared: must not extend it
  assertEquals(entries(list), [[210, 5]]);
});
