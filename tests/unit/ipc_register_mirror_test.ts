/** The register mirror's seqlock: what is read is one version, whoever is writing. */
import { assert, assertEquals, assertGreater } from "../../src/std/assert.ts";
import { MIRROR_WORDS, NOT_MIRRORED, RegisterMirror } from "../../src/ipc/register_mirror.ts";
import { FakeThread, THREAD_WORDS } from "../support/fake_thread.ts";

const CONFIG = 0x100;
const GENERATION = 0xfc;
const LENGTH = 64;

function newMirror(): RegisterMirror {
  return new RegisterMirror(new Int32Array(new SharedArrayBuffer(4 * MIRROR_WORDS)), 0);
}

Deno.test("nothing is mirrored before the first publication", () => {
  const mirror = newMirror();
  assertEquals([mirror.read(0, 4), mirror.read(CONFIG, 1)], [NOT_MIRRORED, NOT_MIRRORED]);
});

Deno.test("while a version is being written nobody gets a value, of either version", () => {
  const mirror = newMirror();
  mirror.begin(8);
  mirror.end();
  mirror.begin(8);
  mirror.setConfig(0, 1);
  assertEquals(
    [mirror.read(CONFIG, 4), mirror.read(GENERATION, 4), mirror.read(0, 1)],
    [NOT_MIRRORED, NOT_MIRRORED, NOT_MIRRORED],
  );
  mirror.end();
  assertEquals(mirror.read(CONFIG, 4), 1);
});

Deno.test("a configuration that is not mirrored is asked for whole, and registers are not", () => {
  const mirror = newMirror();
  mirror.begin();
  mirror.setRegister(GENERATION, 7);
  mirror.end();
  assertEquals([CONFIG, CONFIG + 3, CONFIG + 0x200].map((at) => mirror.read(at, 1)), [
    ...[NOT_MIRRORED, NOT_MIRRORED, NOT_MIRRORED],
  ]);
  assertEquals(mirror.read(GENERATION, 4), 7);
});

Deno.test("what lies past the mirrored bytes of a long configuration is asked for", () => {
  const mirror = newMirror();
  mirror.begin(300);
  mirror.setConfig(296, 1); // has no place
  mirror.end();
  assertEquals([0xfc, 0xfd, 0x100, 0x12b, 0x12c].map((at) => mirror.read(CONFIG + at, 4)), [
    ...[0, NOT_MIRRORED, NOT_MIRRORED, NOT_MIRRORED, 0],
  ]);
});

Deno.test("MMIO-37 between two equal generations every byte is of one version, against a writer in another thread", () => {
  const words = new Int32Array(new SharedArrayBuffer(4 * (THREAD_WORDS + MIRROR_WORDS)));
  const mirror = new RegisterMirror(words, THREAD_WORDS);
  mirror.begin(LENGTH);
  mirror.end();
  using thread = new FakeThread(words, {
    parts: [RegisterMirror],
    constants: {
      ...{ CONFIG, CONFIG_BYTES: 256, SEQUENCE: 0, LENGTH: 1, REGISTERS: 2, CONFIG_WORDS: 66 },
    },
    body: `
      const mirror = new RegisterMirror(words, ${THREAD_WORDS});
      for (let version = 1; version <= 200000; version++) {
        mirror.begin(${LENGTH});
        const halves = (version & 0xffff) | (version << 16);
        for (let at = 0; at < ${LENGTH}; at += 4) mirror.setConfig(at, halves);
        mirror.setRegister(${GENERATION}, version);
        mirror.end();
        // Time for the reader to see one version twice.
        if (version % 16 === 0) for (let i = 0; i < 1000; i++) Atomics.load(words, 0);
      }`,
  });
  let accepted = 0;
  let generation = 0;
  while (generation < 200_000 || accepted === 0) { // a busy host may keep this thread away until the other has ended
    const before = mirror.read(GENERATION, 4);
    const [first, last] = [mirror.read(CONFIG, 4), mirror.read(CONFIG + LENGTH - 4, 4)];
    const across = mirror.read(CONFIG + 2, 4); // half of each of two words: torn without the second look
    if (across !== NOT_MIRRORED) assertEquals(across >>> 16, across & 0xffff);
    generation = mirror.read(GENERATION, 4);
    if (before === NOT_MIRRORED || before !== generation) continue;
    accepted++;
    const expected = ((before & 0xffff) | (before << 16)) >>> 0;
    assertEquals([first, last].filter((it) => it !== NOT_MIRRORED && it !== expected), []);
  }
  thread.join();
  assert(thread.ended);
  assertGreater(accepted, 0);
});
