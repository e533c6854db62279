/** The real event loop with poll sources: work nobody tells of is found, files and timers get their turn, idling is free. */
import { EPOLLIN } from "../../src/abi/linux.ts";
import { EpollLoop } from "../../src/loop/epoll_loop.ts";
import type { PollSource } from "../../src/loop/event_loop.ts";
import { assertEquals, assertGreater, assertLessOrEqual } from "../../src/std/assert.ts";
import { createEventfd, drainEventfd, signalEventfd } from "../../src/sys/eventfd.ts";
import { Machine } from "../../src/machine/machine.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { processorMs } from "../support/host_state.ts";
import { delay, kvmTest, tinyConfig } from "../support/kvm.ts";

/** A source that always has work, and ends the test's patience. */
class Busy implements PollSource {
  served = 0;
  armed = 0;
  constructor(readonly loop: EpollLoop, readonly limit: number) {}

  look(): boolean {
    return true;
  }

  serve(): void {
    if (++this.served >= this.limit) this.loop.stop();
  }

  arm(): boolean {
    this.armed++;
    return false;
  }
}

Deno.test("a source that never runs dry starves neither files nor timers, and is never put to sleep", () => {
  using loop = new EpollLoop();
  using fd = createEventfd();
  const busy = new Busy(loop, 1_000_000);
  loop.poll(busy);
  const seen: string[] = [];
  loop.watch(fd.number, EPOLLIN, {
    ready: () => {
      drainEventfd(fd.number);
      seen.push("file");
      if (seen.length === 2) loop.stop();
    },
  });
  loop.timer(1, {
    ready: () => {
      seen.push("timer");
      signalEventfd(fd.number);
    },
  });
  loop.run();
  assertEquals([seen, busy.armed], [["timer", "file"], 0]);
  assertGreater(busy.limit, busy.served);
});

/** Has a piece of work every `everyMs`, told by a file only while it is armed. */
class Ticking implements PollSource {
  readonly fd = createEventfd();
  /** Pieces found by looking, and those that a file had to tell of. */
  looked = 0;
  told = 0;
  #due: number;
  #armed = false;

  constructor(readonly loop: EpollLoop, readonly everyMs: number, readonly pieces: number) {
    this.#due = loop.now + everyMs;
    loop.poll(this);
    loop.watch(this.fd.number, EPOLLIN, { ready: () => this.#told() });
    signalEventfd(this.fd.number);
  }

  look(): boolean {
    return this.loop.now >= this.#due;
  }

  serve(): void {
    this.looked++;
    this.#next();
  }

  arm(): boolean {
    this.#armed = true;
    signalEventfd(this.fd.number); // the driver's kick, at the moment its work is there
    return this.look();
  }

  #told(): void {
    drainEventfd(this.fd.number);
    if (!this.#armed) return;
    this.#armed = false;
    while (this.loop.now < this.#due); // "the moment its work is there"
    this.told++;
    this.#next();
  }

  #next(): void {
    this.#due = this.loop.now + this.everyMs;
    if (this.looked + this.told >= this.pieces) this.loop.stop();
  }
}

Deno.test("work that keeps coming within the bound is found by looking, not by files", () => {
  using loop = new EpollLoop(20); // so long that nothing this machine does meanwhile makes it give up
  const source = new Ticking(loop, 0.05, 200);
  loop.run();
  source.fd.close();
  assertGreater(source.looked, 150, `${source.told} were told`);
});

Deno.test("a loop that may not look finds nothing by looking", () => {
  using loop = new EpollLoop(0);
  const source = new Ticking(loop, 0.05, 50);
  loop.run();
  source.fd.close();
  assertLessOrEqual(source.looked, 5, "only what was there before the sleep");
});

kvmTest("the I/O thread of a machine that has been busy and is idle costs no time", async () => {
  using directory = new DiskDirectory();
  const path = directory.random("disk.img", 2 ** 20, 5);
  const disk = { kind: "block", path, readOnly: true, direct: false } as const;
  const config = await tinyConfig({
    words: "test=blk-bench qd=4 ops=20000 end=hlt",
    devices: [disk],
  });
  await using machine = await Machine.create(config);
  machine.start();
  await delay(3000); // the load takes less than one
  const before = processorMs();
  await delay(1000);
  assertLessOrEqual(processorMs() - before, 50);
  assertEquals((await machine.stop()).reason, "stopped");
});
