/** Register accesses from a vCPU's thread to the I/O thread: both ends in one thread, and in two. */
import { assert, assertEquals, assertGreater } from "../../src/std/assert.ts";
import { ControlBlock, STOPPING, VCPU_MAILBOX } from "../../src/ipc/control_block.ts";
import { MailboxCaller, type MailboxHandler, MailboxServer } from "../../src/ipc/mailbox.ts";
import { FakeThread, THREAD_WORDS } from "../support/fake_thread.ts";

/** A vCPU that looks this often, 100 ms apart, after the test has done all it does, waits in vain. */
const MAX_IDLE_LOOKS = 10;
const SHAPE = { vcpus: 2, devices: 1 };

/** A handler that writes down what it is asked, and leaves writes to the test. */
class HeldWrites implements MailboxHandler {
  readonly log: string[] = [];
  readonly held: (() => void)[] = [];
  value = 0;

  read(window: number, offset: number, size: number): number {
    this.log.push(`read ${window} ${offset} ${size}`);
    return this.value;
  }

  write(window: number, offset: number, size: number, value: number, done: () => void): void {
    this.log.push(`write ${window} ${offset} ${size} ${value}`);
    this.held.push(done);
  }

  answer(): void {
    this.held.shift()?.();
  }
}

/** A block whose sleeping vCPU lets the test act each time it looks whether the machine stops. */
class SteppedBlock extends ControlBlock {
  steps: (() => void)[] = [];
  #idleLooks = 0;

  override get stopping(): boolean {
    const step = this.steps.shift();
    if (step !== undefined) step();
    else assert(++this.#idleLooks < MAX_IDLE_LOOKS, "nobody will ever answer this vCPU");
    return super.stopping;
  }
}

interface Bench {
  readonly block: SteppedBlock;
  readonly server: MailboxServer;
  readonly handler: HeldWrites;
  /** Each wake-up is served at once. */
  readonly callers: readonly [MailboxCaller, MailboxCaller];
}

function newBench(): Bench {
  const block = new SteppedBlock(ControlBlock.create(SHAPE).buffer, SHAPE);
  const server = new MailboxServer(block, SHAPE.vcpus);
  const handler = new HeldWrites();
  const wake = () => {
    server.serve(handler);
    server.arm();
  };
  const callers = [
    new MailboxCaller(block, 0, wake),
    new MailboxCaller(block, 1, wake),
  ] as const;
  return { block, server, handler, callers };
}

Deno.test("a read brings window, offset and size there and the value back", () => {
  const { handler, callers } = newBench();
  handler.value = 0x1234;
  assertEquals(callers[0].read(3, 0x60, 4), 0x1234);
  assertEquals(callers[1].read(31, 0xffc, 1), 0x1234);
  assertEquals(handler.log, ["read 3 96 4", "read 31 4092 1"]);
});

for (const value of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
  Deno.test(`the value 0x${value.toString(16)} survives both ways`, () => {
    const { block, handler, callers } = newBench();
    handler.value = value;
    assertEquals(callers[0].read(0, 0, 4), value);
    block.steps = [() => handler.answer()];
    callers[0].write(0, 0, 4, value);
    assertEquals(handler.log[1], `write 0 0 4 ${value}`);
  });
}

Deno.test("a write returns when it is done, not when it is asked", () => {
  const { block, handler, callers } = newBench();
  const order: string[] = [];
  block.steps = [() => order.push("looked"), () => order.push("looked"), () => {
    order.push("done");
    handler.answer();
  }];
  callers[0].write(2, 0x70, 4, 0);
  assertEquals([order, handler.log], [["looked", "looked", "done"], ["write 2 112 4 0"]]);
});

Deno.test("a write being worked on is not started again by other wake-ups", () => {
  const { block, server, handler, callers } = newBench();
  block.steps = [() => {
    server.serve(handler);
    server.serve(handler);
    handler.answer();
  }];
  callers[0].write(0, 0x70, 4, 0);
  server.serve(handler);
  assertEquals([handler.log, handler.held.length], [["write 0 112 4 0"], 0]);
});

Deno.test("while one vCPU's write is held, another vCPU is served", () => {
  const { block, handler, callers } = newBench();
  handler.value = 7;
  let read = 0;
  block.steps = [() => {
    read = callers[1].read(0, 0xfc, 4);
    handler.answer();
  }];
  callers[0].write(0, 0x70, 4, 0);
  assertEquals([read, handler.log], [7, ["write 0 112 4 0", "read 0 252 4"]]);
});

Deno.test("one wake-up serves every vCPU that asks", () => {
  const { block, server, handler } = newBench();
  const noWake = () => {};
  Atomics.store(block.words, STOPPING, 1); // so that nobody sleeps
  new MailboxCaller(block, 0, noWake).read(0, 4, 4);
  new MailboxCaller(block, 1, noWake).read(0, 8, 4);
  server.serve(handler);
  assertEquals(handler.log, ["read 0 4 4", "read 0 8 4"]);
});

Deno.test("after a held write the slot takes the next access as usual", () => {
  const { block, handler, callers } = newBench();
  block.steps = [() => handler.answer()];
  callers[0].write(0, 0x70, 4, 1);
  handler.value = 0xffff_fffe;
  assertEquals(callers[0].read(0, 0x70, 4), 0xffff_fffe);
  block.steps = [() => handler.answer()];
  callers[0].write(0, 0x14, 2, 5);
  assertEquals(handler.log, ["write 0 112 4 1", "read 0 112 4", "write 0 20 2 5"]);
});

Deno.test("a served request is not served again", () => {
  const { server, handler, callers } = newBench();
  callers[0].read(0, 0, 4);
  server.serve(handler);
  server.serve(handler);
  assertEquals(handler.log.length, 1);
});

Deno.test("nothing asked is nothing done", () => {
  const { server, handler } = newBench();
  server.serve(handler);
  assertEquals(handler.log, []);
});

Deno.test("the request is complete before the I/O thread is woken, and it is woken once", () => {
  const block = ControlBlock.create(SHAPE);
  const server = new MailboxServer(block, SHAPE.vcpus);
  const handler = new HeldWrites();
  let wakes = 0;
  new MailboxCaller(block, 1, () => {
    wakes++;
    server.serve(handler);
  }).read(5, 6, 2);
  assertEquals([wakes, handler.log], [1, ["read 5 6 2"]]);
});

Deno.test("the stop frees a vCPU that nobody answers", () => {
  const { block, handler, callers } = newBench();
  block.steps = [() => Atomics.store(block.words, STOPPING, 1)];
  callers[0].write(0, 0x70, 4, 0);
  assertEquals(handler.held.length, 1);
  handler.answer(); // too late, and harmless
});

Deno.test("a read given up for the stop is zero", () => {
  const block = ControlBlock.create(SHAPE);
  Atomics.store(block.words, STOPPING, 1);
  assertEquals(new MailboxCaller(block, 0, () => {}).read(0, 0, 4), 0);
});

Deno.test("an answer from another thread wakes the vCPU at once", () => {
  const block = ControlBlock.create(SHAPE);
  const ASKED = 1;
  const base = block.vcpu(0, VCPU_MAILBOX);
  // The machine's own words 0 and 1 (requests, window size) serve the thread; its shape has no more of them.
  assertEquals(THREAD_WORDS, 2);
  using thread = new FakeThread(block.words, {
    parts: [MailboxServer],
    constants: {
      ...{ FREE: 0, ASKED, DONE: 2, IS_WRITE: 0x100, VCPU_MAILBOX: base },
      ...{ STATE: 0, WINDOW: 1, OFFSET: 2, ACCESS: 3, VALUE: 4 },
    },
    body: `
      const server = new MailboxServer({ words, vcpu: (id, word) => word }, 1);
      const handler = { read: (window, offset, size) => window * 0x1000000 + offset * 16 + size };
      for (let served = 0; served < 50;) {
        if (Atomics.load(words, ${base}) !== ASKED) continue;
        const until = performance.now() + 1; // the vCPU sleeps by now
        while (performance.now() < until);
        server.serve(handler);
        served++;
      }`,
  });
  const caller = new MailboxCaller(block, 0, () => {});
  const start = performance.now();
  for (let i = 0; i < 50; i++) assertEquals(caller.read(255, i, 4), 0xff00_0004 + i * 16);
  // Sleepers that miss their wake-up find the answer only when they look up, every 100 ms.
  assertGreater(2500, performance.now() - start);
  thread.join();
  assert(thread.ended);
});

Deno.test("a thread that looks before it sleeps is not woken, one that has gone to sleep is", () => {
  const block = ControlBlock.create(SHAPE);
  const server = new MailboxServer(block, SHAPE.vcpus);
  const handler = new HeldWrites();
  let wakes = 0;
  Atomics.store(block.words, STOPPING, 1); // nobody answers: so that nobody sleeps
  const ask = (vcpu: number) => new MailboxCaller(block, vcpu, () => wakes++).read(0, 4, 4);
  ask(0);
  assertEquals([wakes, server.look()], [1, true]);
  ask(1); // the first one's wake-up is under way
  assertEquals(wakes, 1);
  server.serve(handler);
  assertEquals([server.look(), server.arm()], [false, false]);
  ask(0);
  assertEquals(wakes, 2);
});

Deno.test("what was asked before the thread sleeps keeps it awake", () => {
  const block = ControlBlock.create(SHAPE);
  const server = new MailboxServer(block, SHAPE.vcpus);
  Atomics.store(block.words, STOPPING, 1);
  new MailboxCaller(block, 1, () => {}).read(0, 4, 4);
  assertEquals(server.arm(), true);
});

Deno.test("a write being worked on is nothing to look for", () => {
  const { block, server, handler, callers } = newBench();
  block.steps = [() => {
    assertEquals([server.look(), server.arm()], [false, false]);
    handler.answer();
  }];
  callers[0].write(0, 0x70, 4, 0);
});
