/** The byte ring: what goes in comes out, at every fill level and past every wrap. */
import { assert, assertEquals, assertGreater } from "../../src/std/assert.ts";
import { ByteRing } from "../../src/ipc/byte_ring.ts";
import { FakeThread, THREAD_WORDS } from "../support/fake_thread.ts";

const HEAD = 0;
const TAIL = 1;

/** A ring whose counts start at `count`, which wraps like a u32. */
function ringAt(
  count: number,
  capacity = 8,
): { readonly ring: ByteRing; readonly words: Int32Array } {
  const words = new Int32Array(new SharedArrayBuffer(16));
  words[1 + HEAD] = count;
  words[1 + TAIL] = count;
  return { ring: new ByteRing(words, 1, new Uint8Array(capacity)), words };
}

function popAll(ring: ByteRing): number[] {
  const bytes: number[] = [];
  for (let byte = ring.pop(); byte !== -1; byte = ring.pop()) bytes.push(byte);
  return bytes;
}

Deno.test("an empty ring has nothing to give", () => {
  const { ring } = ringAt(0);
  assertEquals([ring.length, ring.capacity, ring.pop()], [0, 8, -1]);
  assertEquals(ring.peek(new Uint8Array(4)), 0);
});

Deno.test("a full ring takes nothing, loses nothing, and uses its whole capacity", () => {
  const { ring } = ringAt(0);
  for (let byte = 1; byte <= 8; byte++) assert(ring.push(byte));
  assertEquals([ring.push(99), ring.push(100), ring.length], [false, false, 8]);
  assertEquals(popAll(ring), [1, 2, 3, 4, 5, 6, 7, 8]);
  assertEquals(ring.length, 0);
});

Deno.test("taking one byte from a full ring makes room for one", () => {
  const { ring } = ringAt(0);
  for (let byte = 0; byte < 8; byte++) ring.push(byte);
  assertEquals([ring.pop(), ring.push(8), ring.push(9)], [0, true, false]);
  assertEquals(popAll(ring), [1, 2, 3, 4, 5, 6, 7, 8]);
});

Deno.test("all byte values pass, zero and 255 among them", () => {
  const { ring } = ringAt(0, 256);
  for (let byte = 0; byte < 256; byte++) ring.push(byte);
  assertEquals(popAll(ring), Array.from({ length: 256 }, (_, i) => i));
});

for (const start of [0, 5, 0x7fff_fffb, 0xffff_fffb]) {
  Deno.test(`bytes keep their order across the wrap when the counts are 0x${start.toString(16)}`, () => {
    const { ring, words } = ringAt(start);
    const peeked = new Uint8Array(8);
    let next = 0;
    for (let round = 0; round < 20; round++) {
      const size = 1 + round % 8;
      for (let i = 0; i < size; i++) assert(ring.push((next + i) & 0xff));
      assertEquals(ring.length, size);
      assertEquals(ring.peek(peeked), size);
      const expected = Array.from({ length: size }, (_, i) => (next + i) & 0xff);
      assertEquals([...peeked.subarray(0, size)], expected);
      if (round % 2 === 0) assertEquals(popAll(ring), expected);
      else ring.drop(size);
      next += size;
    }
    assertEquals(words[1 + HEAD], (start + next) | 0);
    assertEquals([words[0], words[3]], [0, 0], "no other word has changed");
  });

  Deno.test(`a ring can be full when the counts are 0x${start.toString(16)}`, () => {
    const { ring } = ringAt(start);
    for (let byte = 0; byte < 8; byte++) assert(ring.push(byte));
    assertEquals([ring.push(9), ring.length], [false, 8]);
  });
}

Deno.test("peek shows no more than asked for and takes nothing", () => {
  const { ring } = ringAt(6);
  for (const byte of [1, 2, 3, 4]) ring.push(byte);
  const into = new Uint8Array(3);
  assertEquals([ring.peek(into), ...into, ring.length], [3, 1, 2, 3, 4]);
  ring.drop(2);
  assertEquals(popAll(ring), [3, 4]);
});

Deno.test("two rings in neighbouring words do not meet", () => {
  const words = new Int32Array(new SharedArrayBuffer(16));
  const first = new ByteRing(words, 0, new Uint8Array(4));
  const second = new ByteRing(words, 2, new Uint8Array(4));
  first.push(1);
  second.push(2);
  second.push(3);
  assertEquals([popAll(first), popAll(second)], [[1], [2, 3]]);
});

Deno.test("waiting for room returns at once when there is some", () => {
  const { ring } = ringAt(0);
  ring.push(1);
  const start = performance.now();
  ring.waitForRoom(5000);
  assertGreater(1000, performance.now() - start);
});

Deno.test("waiting for room ends with the time limit when the ring stays full", () => {
  const { ring } = ringAt(0, 1);
  ring.push(1);
  const start = performance.now();
  ring.waitForRoom(20);
  assertGreater(performance.now() - start, 15);
  assertEquals(ring.length, 1);
});

Deno.test("a consumer on another thread gets every byte in order, and its wake ends the wait", () => {
  const COUNT = 20_000;
  const words = new Int32Array(new SharedArrayBuffer(4 * (THREAD_WORDS + 4 + 16)));
  const bytes = new Uint8Array(words.buffer, 4 * (THREAD_WORDS + 4), 64);
  const ring = new ByteRing(words, THREAD_WORDS, bytes);
  const wrong = THREAD_WORDS + 2;
  using thread = new FakeThread(words, {
    parts: [ByteRing],
    constants: { HEAD, TAIL },
    body: `
      const bytes = new Uint8Array(words.buffer, ${4 * (THREAD_WORDS + 4)}, 64);
      const ring = new ByteRing(words, ${THREAD_WORDS}, bytes);
      for (let next = 0; next < ${COUNT};) {
        const byte = ring.pop();
        if (byte === -1) continue;
        ring.wake();
        if (byte !== next % 251) Atomics.add(words, ${wrong}, 1);
        next++;
      }`,
  });
  const start = performance.now();
  for (let next = 0; next < COUNT; next++) {
    while (!ring.push(next % 251)) ring.waitForRoom(8000);
  }
  thread.join();
  assertEquals([words[wrong], ring.length], [0, 0]);
  assertGreater(7000, performance.now() - start, "no wait ran into its limit");
});
