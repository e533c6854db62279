/** The rings shared with the kernel, many times around: operations that do nothing, so that only the rings are tested. */
import { IORING_OP_NOP } from "../../src/abi/linux.ts";
import type { FdNumber } from "../../src/sys/fd.ts";
import { IoUring } from "../../src/sys/io_uring.ts";
import { SysError } from "../../src/sys/sys_error.ts";
import { assertEquals } from "../../src/std/assert.ts";

const ENTRIES = 8;
const NO_FILE = -1 as FdNumber;

/** Why there is no io_uring here; undefined when there is. */
function uringRefusal(): string | undefined {
  try {
    new IoUring(ENTRIES)[Symbol.dispose]();
    return undefined;
  } catch (error) {
    if (error instanceof SysError) return error.message;
    throw error;
  }
}

const refusal = uringRefusal();
if (refusal !== undefined) console.log(`skipped: ${refusal}`);

function push(ring: IoUring, token: number): boolean {
  return ring.push(IORING_OP_NOP, NO_FILE, 0, 0, 0, 0, token);
}

function reaped(ring: IoUring): number[] {
  const tokens: number[] = [];
  for (let done = ring.reap(); done !== undefined; done = ring.reap()) tokens.push(done.token);
  return tokens.sort((a, b) => a - b);
}

Deno.test({
  name: "a ring takes as much as it has entries, again and again, and gives each back once",
  ignore: refusal !== undefined,
  fn() {
    using ring = new IoUring(ENTRIES);
    for (let round = 0; round < 20; round++) {
      const tokens = Array.from({ length: ENTRIES }, (_, i) => round * ENTRIES + i);
      for (const token of tokens) assertEquals(push(ring, token), true);
      assertEquals([push(ring, 0), ring.hasCompletions], [false, false]);
      ring.submit(ENTRIES);
      assertEquals([ring.pending, ring.hasCompletions, reaped(ring)], [false, true, tokens]);
    }
  },
});

Deno.test({
  name: "a ring that is emptied now and then goes on over its end",
  ignore: refusal !== undefined,
  fn() {
    using ring = new IoUring(ENTRIES);
    for (let token = 0; token < 100; token += 3) {
      const tokens = [token, token + 1, token + 2];
      for (const each of tokens) push(ring, each);
      ring.submit(tokens.length);
      assertEquals(reaped(ring), tokens);
    }
  },
});
