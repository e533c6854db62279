/** The entropy device (RNG-01 to RNG-07, HD-93). */
import { MAX_REQUEST_BYTES, RngDevice } from "../../devices/rng/device.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { FakeEntropy } from "../support/fake_entropy.ts";
import { GuestRam, POISON } from "../support/guest_ram.ts";
import { InterruptSink } from "../support/interrupt_sink.ts";
import { ManualLoop } from "../support/manual_loop.ts";
import { MMIO } from "../support/mmio_driver.ts";
import { type Answer, MockDriver } from "../support/mock_driver.ts";
import { everyBytes } from "../support/segments.ts";

const NOTHING = new Uint8Array();
const EIO = 5;

class RngStand {
  readonly ram = new GuestRam();
  readonly loop = new ManualLoop();
  readonly line = new InterruptSink();
  readonly faults: Error[] = [];
  readonly entropy = new FakeEntropy(this.ram);
  readonly device = new RngDevice(this.entropy);
  readonly driver = new MockDriver(MMIO.attach(this.device, this), this.ram, this.loop);

  constructor() {
    this.driver.bringUp();
  }

  ask(writable: number): Answer {
    return this.driver.call(this.driver.queue(0), { readable: NOTHING, writable });
  }

  /** One descriptor chain that names the same 4 KiB `count` times. */
  amplify(count: number): void {
    const at = this.ram.allocate(4096);
    const segments = Array.from({ length: count }, () => ({ at, length: 4096, writable: true }));
    const head = this.driver.queue(0).add(segments, "indirect");
    this.driver.queue(0).publish(head);
  }
}

function rng(name: string, run: (stand: RngStand) => void): void {
  Deno.test(`rng over mmio: ${name}`, () => {
    const stand = new RngStand();
    run(stand);
    assertEquals(stand.ram.firstForeignChange(), undefined, "INV-2");
  });
}

rng("RNG-01 there are no features of its own, one queue, and an empty configuration", (stand) => {
  assertEquals(stand.driver.offered() & 0xff_ffffn, 0n);
  assertEquals(stand.driver.existingQueues(), [0]);
  for (const offset of [0, 4, 252]) {
    assertEquals(stand.driver.transport.readConfig(offset, 4), 0);
  }
});

rng("RNG-02, RNG-04 a buffer is filled, and its length says how far", (stand) => {
  for (const size of [1, 2, 64, 4096]) {
    const { response, usedLength } = stand.ask(size);
    assertEquals(usedLength, size);
    assert(!response.includes(POISON), "every byte is written");
  }
});

rng("RNG-04 two buffers differ", (stand) => {
  assert(stand.ask(64).response.join() !== stand.ask(64).response.join());
});

rng(
  "RNG-03 with little entropy less than the buffer is filled, and nothing behind that",
  (stand) => {
    stand.entropy.room = 5;
    const { response, usedLength } = stand.ask(64);
    assertEquals(usedLength, 5);
    assertEquals(response.subarray(5), new Uint8Array(59).fill(POISON));
  },
);

rng(
  "RNG-02 a buffer without entropy waits, is not answered empty, and is filled later",
  (stand) => {
    stand.entropy.room = 0;
    const queue = stand.driver.queue(0);
    const head = stand.driver.submit(
      queue,
      stand.driver.prepare({ readable: NOTHING, writable: 8 }),
    );
    stand.loop.settle();
    assertEquals(queue.poll(), []);
    stand.driver.transport.kick(0);
    assertEquals(queue.poll(), []);
    stand.entropy.refill(100);
    stand.loop.settle();
    assertEquals(queue.poll(), [{ head, length: 8 }]);
  },
);

rng(
  "RNG-05, HD-93 a chain that claims a megabyte gets 64 KiB, an honest one after it all",
  (stand) => {
    stand.amplify(256);
    stand.driver.transport.kick(0);
    stand.loop.settle();
    assertEquals(stand.driver.queue(0).poll().map(({ length }) => length), [MAX_REQUEST_BYTES]);
    assertEquals(stand.ask(64).usedLength, 64);
  },
);

rng("RNG-05, HD-93 four of those and others have their turn", (stand) => {
  for (let i = 0; i < 10; i++) stand.amplify(256);
  stand.driver.transport.kick(0); // no turn of the loop yet
  const served = stand.entropy.asked.reduce((sum, bytes) => sum + bytes, 0);
  assertEquals(served, 4 * MAX_REQUEST_BYTES);
  assertEquals(stand.loop.deferredTasks, 1);
  stand.loop.settle();
  assertEquals(stand.driver.queue(0).poll().length, 10);
});

rng("RNG-06 a buffer to read comes back with length 0, and takes no entropy", (stand) => {
  for (const writable of [0, 32]) {
    const answer = stand.driver.call(stand.driver.queue(0), {
      readable: Uint8Array.of(1, 2, 3),
      writable,
    });
    assertEquals(answer.usedLength, 0);
    assertEquals(answer.response, new Uint8Array(writable).fill(POISON));
  }
  assertEquals(stand.entropy.asked, []);
});

rng("RNG-07 a source that has failed gives length 0, and the device lives", (stand) => {
  stand.entropy.refusal = -EIO;
  assertEquals(stand.ask(64).usedLength, 0);
  stand.entropy.refusal = undefined;
  assertEquals(stand.ask(64).usedLength, 64);
});

rng("RNG-04, VQ-SPLIT-05 bytes go where the descriptors say, however they are cut", (stand) => {
  const answer = stand.driver.call(
    stand.driver.queue(0),
    { readable: NOTHING, writable: 40 },
    { cut: everyBytes(7), layout: "indirect" },
  );
  assertEquals(answer.usedLength, 40);
  assert(!answer.response.includes(POISON));
});

rng("HD-93 kicks without buffers ask the source for nothing", (stand) => {
  for (let i = 0; i < 1000; i++) stand.driver.transport.kick(0);
  stand.loop.settle();
  assertEquals(stand.entropy.asked, []);
});

rng("BF-RESET-02 entropy that comes after a reset goes nowhere", (stand) => {
  stand.entropy.room = 0;
  stand.driver.submit(
    stand.driver.queue(0),
    stand.driver.prepare({ readable: NOTHING, writable: 8 }),
  );
  stand.driver.reset();
  stand.entropy.refill(100);
  stand.loop.settle();
  assertEquals(stand.entropy.room, 100);
});
