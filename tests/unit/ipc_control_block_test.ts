/** The control block: every word has one meaning, whatever the machine's shape. */
import { assert, assertEquals, assertGreater, fail } from "../../src/std/assert.ts";
import {
  ControlBlock,
  type ControlBlockShape,
  IO_LOOKS,
  IO_REQUEST,
  IO_RESIZE,
  IO_STOP,
  STOPPING,
  VCPU_EXITS_MMIO,
  VCPU_EXITS_OTHER,
  VCPU_EXITS_PIO,
  VCPU_MAILBOX,
  VCPU_PARKED,
  VCPU_REQUEST,
  WINDOW_SIZE,
} from "../../src/ipc/control_block.ts";
import type { ByteRing } from "../../src/ipc/byte_ring.ts";

/** State, window, offset, access, value (mailbox.ts). */
const MAILBOX_WORDS = 5;
/** What devices/legacy/serial.ts names: 0 to 12. */
const SERIAL_WORDS = 13;

const SHAPES: readonly ControlBlockShape[] = [
  { vcpus: 1, devices: 0 },
  { vcpus: 1, devices: 1 },
  { vcpus: 3, devices: 7 },
  { vcpus: 32, devices: 32 },
];

/** Every word of a block, by what it is for. */
function namedWords(block: ControlBlock, shape: ControlBlockShape): Map<string, number> {
  const words = new Map<string, number>([
    ["IO_REQUEST", IO_REQUEST],
    ["IO_LOOKS", IO_LOOKS],
    ["WINDOW_SIZE", WINDOW_SIZE],
    ["STOPPING", STOPPING],
  ]);
  for (let id = 0; id < shape.vcpus; id++) {
    words.set(`vCPU ${id} request`, block.vcpu(id, VCPU_REQUEST));
    words.set(`vCPU ${id} MMIO exits`, block.vcpu(id, VCPU_EXITS_MMIO));
    words.set(`vCPU ${id} PIO exits`, block.vcpu(id, VCPU_EXITS_PIO));
    words.set(`vCPU ${id} parked`, block.vcpu(id, VCPU_PARKED));
    words.set(`vCPU ${id} other exits`, block.vcpu(id, VCPU_EXITS_OTHER));
    for (let i = 0; i < MAILBOX_WORDS; i++) {
      words.set(`vCPU ${id} mailbox word ${i}`, block.vcpu(id, VCPU_MAILBOX + i));
    }
  }
  for (let i = 0; i < shape.devices; i++) {
    words.set(`device ${i} interrupt status`, block.interruptStatus(i));
  }
  for (let i = 0; i < SERIAL_WORDS; i++) words.set(`serial word ${i}`, block.serial + i);
  return words;
}

function fill(ring: ByteRing, byte: number): number {
  let count = 0;
  while (ring.push(byte)) count++;
  return count;
}

function drain(ring: ByteRing, expected: number): number {
  let count = 0;
  for (let byte = ring.pop(); byte !== -1; byte = ring.pop()) {
    if (byte !== expected) fail(`byte ${count} is ${byte} and not ${expected}`);
    count++;
  }
  return count;
}

for (const shape of SHAPES) {
  const name = `${shape.vcpus} vCPUs and ${shape.devices} devices`;

  Deno.test(`a block for ${name} gives each word to one purpose`, () => {
    const block = ControlBlock.create(shape);
    const owners = new Map<number, string>();
    for (const [purpose, index] of namedWords(block, shape)) {
      const other = owners.get(index);
      assertEquals(other, undefined, `${purpose} is also ${other}`);
      assert(Number.isInteger(index) && index >= 0 && index < block.words.length, purpose);
      owners.set(index, purpose);
    }
  });

  Deno.test(`in a block for ${name} words and rings do not touch each other`, () => {
    const block = ControlBlock.create(shape);
    const named = [...namedWords(block, shape).values()];
    named.forEach((index, i) => block.words[index] = -1 - i);
    const sent = fill(block.serialTransmit, 0xa5);
    const received = fill(block.serialReceive, 0x5a);
    assertEquals([sent, received], [block.serialTransmit.capacity, block.serialReceive.capacity]);
    named.forEach((index, i) => assertEquals(block.words[index], -1 - i, `word ${index}`));
    assertEquals(drain(block.serialTransmit, 0xa5), sent);
    assertEquals(drain(block.serialReceive, 0x5a), received);
  });

  Deno.test(`two threads see the same block for ${name}`, () => {
    const mine = ControlBlock.create(shape);
    const theirs = new ControlBlock(mine.buffer, { ...shape });
    mine.serialTransmit.push(1);
    mine.serialReceive.push(2);
    Atomics.store(mine.words, mine.serial, 7);
    assertEquals([theirs.serialTransmit.pop(), theirs.serialReceive.pop()], [1, 2]);
    assertEquals([theirs.words[theirs.serial], mine.serialTransmit.length], [7, 0]);
  });
}

Deno.test("a fresh block is all zeroes and not stopping", () => {
  const block = ControlBlock.create({ vcpus: 2, devices: 2 });
  assert(new Uint8Array(block.buffer).every((byte) => byte === 0));
  assertEquals([block.stopping, block.serialTransmit.length], [false, 0]);
});

Deno.test("stopping is what the stop word says, on every thread", () => {
  const block = ControlBlock.create({ vcpus: 1, devices: 0 });
  const other = new ControlBlock(block.buffer, { vcpus: 1, devices: 0 });
  Atomics.store(block.words, STOPPING, 1);
  assertEquals([block.stopping, other.stopping], [true, true]);
});

Deno.test("requests to the I/O thread are bits of their own", () => {
  assertEquals(IO_STOP & IO_RESIZE, 0);
  assertGreater(IO_STOP * IO_RESIZE, 0);
});

Deno.test("ring sizes are powers of two, which their masks need", () => {
  const { serialTransmit, serialReceive } = ControlBlock.create({ vcpus: 1, devices: 0 });
  for (const { capacity } of [serialTransmit, serialReceive]) {
    assertEquals(capacity & (capacity - 1), 0);
    assertGreater(capacity, 0);
  }
});
