/** The lock in a shared word. */
import { assert, assertEquals, assertFalse } from "../../src/std/assert.ts";
import { SharedLock } from "../../src/ipc/shared_lock.ts";
import { FakeThread, THREAD_WORDS } from "../support/fake_thread.ts";

const LOCK = THREAD_WORDS;
const COUNT = LOCK + 1;
const CONSTANTS = { FREE: 0, TAKEN: 1, CONTENDED: 2 };
const LOOK_MS = 1;

function sharedWords(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * (COUNT + 1)));
}

/** Until another thread has brought about `condition`. */
function waitUntil(words: Int32Array, condition: () => boolean): void {
  const deadline = performance.now() + 5000;
  while (!condition() && performance.now() < deadline) Atomics.wait(words, COUNT, 0, LOOK_MS);
  assert(condition(), "the other thread did not come");
}

Deno.test("a lock nobody holds is taken and given back, any number of times", () => {
  const words = sharedWords();
  const lock = new SharedLock(words, LOCK);
  for (let i = 0; i < 3; i++) {
    lock.lock();
    assert(words[LOCK] !== 0);
    lock.unlock();
    assertEquals(words[LOCK], 0);
  }
  assertEquals([words[LOCK - 1], words[LOCK + 1]], [0, 0]);
});

Deno.test("a second thread waits until the lock is given back", () => {
  const words = sharedWords();
  const lock = new SharedLock(words, LOCK);
  lock.lock();
  using thread = new FakeThread(words, {
    parts: [SharedLock],
    constants: CONSTANTS,
    body: `
      const lock = new SharedLock(words, ${LOCK});
      lock.lock();
      Atomics.store(words, ${COUNT}, 1);
      lock.unlock();`,
  });
  waitUntil(words, () => Atomics.load(words, LOCK) === CONSTANTS.CONTENDED);
  assertEquals(Atomics.load(words, COUNT), 0);
  assertFalse(thread.ended);
  lock.unlock();
  thread.join();
  assertEquals([words[COUNT], words[LOCK]], [1, 0]);
});

Deno.test("two threads never are inside together", () => {
  const ROUNDS = 20_000;
  const words = sharedWords();
  const lock = new SharedLock(words, LOCK);
  // A plain load and store: an update by both at once would be lost.
  const body = `for (let i = 0; i < ${ROUNDS}; i++) {
    lock.lock();
    words[${COUNT}] = words[${COUNT}] + 1;
    lock.unlock();
  }`;
  using thread = new FakeThread(words, {
    parts: [SharedLock],
    constants: CONSTANTS,
    body: `const lock = new SharedLock(words, ${LOCK}); ${body}`,
  });
  for (let i = 0; i < ROUNDS; i++) {
    lock.lock();
    words[COUNT] = (words[COUNT] as number) + 1;
    lock.unlock();
  }
  thread.join();
  assertEquals([words[COUNT], words[LOCK]], [2 * ROUNDS, 0]);
});
