/** Counts of a device: exact beyond 32 bits, and all of one moment though another thread goes on counting. */
import { ControlBlock } from "../../src/ipc/control_block.ts";
import { COUNTER_WORDS, DeviceCounters, MAX_COUNTS } from "../../src/ipc/device_counters.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";

/** Both threads' views of the same words. */
function bothEnds(
  base = 3,
): { readonly io: DeviceCounters; readonly control: DeviceCounters; readonly words: Int32Array } {
  const words = new Int32Array(new SharedArrayBuffer(4 * (base + COUNTER_WORDS + 1)));
  return { io: new DeviceCounters(words, base), control: new DeviceCounters(words, base), words };
}

Deno.test("counts are read as they were published, also beyond 32 bits and to 2**53", () => {
  const { io, control, words } = bothEnds();
  const counts = new Float64Array(MAX_COUNTS);
  assertEquals(control.read(2), [0, 0]);
  const steps = [
    1,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 32 + 1,
    2 ** 40 + 5,
    2 ** 53 - 1,
  ];
  for (const step of steps) {
    counts.forEach((_, i) => counts[i] = step - i % 2);
    io.publish(counts);
    assertEquals(control.read(MAX_COUNTS), [...counts]);
  }
  assertEquals([words[0], words[1], words[2], words.at(-1)], [0, 0, 0, 0], "words of others");
});

Deno.test("what has not changed is not written", () => {
  const { io, words } = bothEnds();
  const counts = Float64Array.of(7, 0, 9);
  io.publish(counts);
  const before = words.slice();
  io.publish(counts);
  assertEquals(words, before);
});

Deno.test("devices have words of their own", () => {
  const shape = { vcpus: 2, devices: 3 };
  const block = ControlBlock.create(shape);
  block.words[block.serial] = -1;
  block.mirror(2).begin(256);
  block.mirror(2).setConfig(252, -1);
  block.mirror(2).end();
  const views = [0, 1, 2].map((device) => block.counters(device));
  views.forEach((view, device) =>
    view.publish(new Float64Array(MAX_COUNTS).fill(2 ** 33 + device))
  );
  const other = new ControlBlock(block.buffer, shape);
  for (const device of [0, 1, 2]) {
    const expected = new Array<number>(MAX_COUNTS).fill(2 ** 33 + device);
    assertEquals(other.counters(device).read(MAX_COUNTS), expected);
  }
  assertEquals([other.words[other.serial], other.mirror(2).read(0x100 + 252, 4)], [
    -1,
    2 ** 32 - 1,
  ]);
});

/** The class as it is, on another thread, which needs no permission to read files this way. */
const COUNTING = `
  const MAX_COUNTS = ${MAX_COUNTS}, HIGH = 2 ** 32;
  const DeviceCounters = ${DeviceCounters};
  onmessage = ({ data: [words, base, from, rounds] }) => {
    const counters = new DeviceCounters(words, base);
    for (let i = 1; i <= rounds; i++) {
      counters.publish(Float64Array.of(from + i, from + i, from + i));
      for (let spin = 0; spin < 200; spin++) Atomics.load(words, base); // it has requests to serve
    }
    postMessage(0);
  };`;

Deno.test("counts of one look belong together, whatever the other thread does", async () => {
  const [from, rounds] = [2 ** 32 - 50_000, 100_000]; // the high words change on the way
  const { control, words } = bothEnds();
  const url = URL.createObjectURL(new Blob([COUNTING], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  let isOver = false;
  const ended = new Promise<void>((resolve, reject) => {
    worker.onmessage = () => resolve();
    worker.onerror = (event) => reject(new Error(event.message));
  }).finally(() => isOver = true);
  worker.postMessage([words, 3, from, rounds]);
  let looks = 0;
  for (let last = 0; last < from + rounds; looks++) {
    const [first = -1, second = -2, third = -3] = control.read(3);
    assertEquals([second, third], [first, first]);
    assert(first >= last, `${first} after ${last}`);
    last = first;
    if (looks % 1000 !== 0) continue;
    await new Promise((resolve) => setTimeout(resolve)); // or nobody would hear of its end
    assert(!isOver || control.read(1)[0] === from + rounds, "the last count was published");
  }
  await ended;
  worker.terminate();
  URL.revokeObjectURL(url);
  assert(looks > 10, `${looks} looks`);
});
