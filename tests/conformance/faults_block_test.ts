/**
 * A disk that fails in every way it can, under a driver that counts: each request comes back once, with the status it
 * has to have, whatever the disk does and whenever the driver resets the device.
 */
import {
  VIRTIO_BLK_S_IOERR as IOERR,
  VIRTIO_BLK_S_OK as OK,
  VIRTIO_BLK_S_UNSUPP as UNSUPP,
  VIRTIO_BLK_T_DISCARD as DISCARD,
  VIRTIO_BLK_T_FLUSH as FLUSH,
  VIRTIO_BLK_T_WRITE_ZEROES as WRITE_ZEROES,
} from "../../devices/block/abi.ts";
import { BLOCK_COUNTERS } from "../../devices/block/counts.ts";
import { assert, assertEquals, fail } from "../../src/std/assert.ts";
import { Random } from "../fuzz/random.ts";
import {
  blockCommand,
  blockHeader,
  blockRange,
  blockRead,
  blockStatus,
  blockWrite,
} from "../support/block_requests.ts";
import { BlockStand } from "../support/block_stand.ts";
import { pattern } from "../support/guest_ram.ts";
import type { PlacedRequest } from "../support/mock_driver.ts";
import { MMIO } from "../support/mmio_driver.ts";

const EINTR = 4, EIO = 5, EAGAIN = 11, ENOSPC = 28, EOPNOTSUPP = 95, EFBIG = 27;
const DATA = pattern(2048, 3);

function block(name: string, run: (stand: BlockStand) => void): void {
  Deno.test(`block over mmio, a disk that fails: ${name}`, () => {
    const stand = new BlockStand(MMIO);
    run(stand);
    stand.checkInvariants();
  });
}

const OPERATIONS = [
  { name: "read", request: blockRead(1, 512), words: "read" },
  { name: "write", request: blockWrite(1, DATA), words: "write" },
  { name: "flush", request: blockCommand(FLUSH), words: "flush" },
  { name: "discard", request: blockCommand(DISCARD, blockRange(1, 1)), words: "discard from" },
  { name: "zeroes", request: blockCommand(WRITE_ZEROES, blockRange(1, 1)), words: "zero" },
] as const;

for (const { name, request, words } of OPERATIONS) {
  for (const errno of [EIO, ENOSPC, EFBIG]) {
    block(`errno ${errno} of a ${name} is IOERR for the driver, and the owner is told`, (stand) => {
      stand.disk.failing = name;
      stand.disk.errno = errno;
      assertEquals(blockStatus(stand.call(request)), IOERR);
      assertEquals(stand.failures, [`${words} ${errno}`]);
      stand.disk.failing = "";
      assertEquals(blockStatus(stand.call(request)), OK);
    });
  }
  block(`a ${name} that is interrupted, or has to wait, is asked for again`, (stand) => {
    const answers = [-EINTR, -EAGAIN, -EINTR];
    stand.disk.trouble = () => answers.shift() ?? Infinity;
    const pending = stand.post(request);
    assertEquals(stand.collect(pending), [undefined]);
    stand.loop.advance(10);
    stand.loop.advance(10);
    stand.loop.advance(10);
    assertEquals(stand.collect(pending), [OK]);
    assertEquals(stand.failures, []);
  });
  block(`a ${name} that has to wait for ever fails after a second`, (stand) => {
    stand.disk.trouble = () => -EAGAIN;
    const pending = stand.post(request);
    for (let i = 0; i < 99; i++) stand.loop.advance(10);
    assertEquals(stand.collect(pending), [undefined]);
    stand.loop.advance(10);
    assertEquals(stand.collect(pending), [IOERR]);
    assertEquals(stand.failures, [`${words} ${EAGAIN}`]);
    stand.disk.trouble = undefined;
  });
}

for (const { name, request } of OPERATIONS.slice(3)) {
  block(`a ${name} that the file system cannot do is UNSUPP, and no failure`, (stand) => {
    stand.disk.failing = name;
    stand.disk.errno = EOPNOTSUPP;
    assertEquals(blockStatus(stand.call(request)), UNSUPP);
    assertEquals(stand.failures, []);
    stand.disk.failing = "";
  });
}

for (const { name, request } of OPERATIONS.slice(0, 2)) {
  block(`a ${name} that moves nothing has come to the file's end: IOERR`, (stand) => {
    const answers = [512, 0];
    stand.disk.trouble = () => answers.shift() ?? Infinity;
    assertEquals(blockStatus(stand.call(name === "read" ? blockRead(1, 2048) : request)), IOERR);
    assertEquals(stand.failures, [`${name} 0`]);
  });
}

block(
  "a request that never ends holds back a reset, not the vCPU, and no other request",
  (stand) => {
    stand.disk.holding = true;
    const stuck = stand.post(blockRead(0, 512));
    const other = stand.post(blockRead(1, 512));
    stand.disk.releaseLast();
    assertEquals(stand.collect(stuck, other), [undefined, OK]);
    const reset = stand.driver.transport.writeStatus(0);
    stand.loop.advance(600_000);
    assert(reset.answered, "the vCPU goes on (BF-RESET-09)");
    assert(stand.driver.transport.status() !== 0, "the device is not done");
    stand.disk.release();
    stand.loop.settle();
    assertEquals(stand.driver.transport.status(), 0);
    stand.driver.forgetQueues();
  },
);

const SECTORS_EACH = 4;
const SECTOR = 512;
const REQUESTS = 14;
const QUEUES = 2;

/** One place on the disk, and the request about it. Only one at a time, so what is there is known. */
class Place {
  readonly placed: { readonly read: PlacedRequest; readonly write: PlacedRequest };
  /** What a read has to bring; undefined when a write has failed half-way. */
  content: Uint8Array | undefined;
  /** What is with the device: `data` of a write. */
  pending:
    | { readonly queue: number; readonly head: number; readonly data?: Uint8Array }
    | undefined;

  constructor(readonly sector: number, stand: BlockStand) {
    const bytes = SECTORS_EACH * SECTOR;
    this.placed = {
      read: stand.driver.prepare(blockRead(sector, bytes)),
      write: stand.driver.prepare(blockWrite(sector, new Uint8Array(bytes))),
    };
    this.content = stand.disk.bytes.slice(sector * SECTOR, sector * SECTOR + bytes);
  }
}

class Storm {
  readonly stand = new BlockStand(MMIO, { queues: QUEUES });
  readonly random: Random;
  readonly places: readonly Place[];
  completed = 0;
  resets = 0;
  failed = 0;
  #serial = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    this.places = Array.from(
      { length: REQUESTS },
      (_, i) => new Place(i * SECTORS_EACH, this.stand),
    );
    this.stand.disk.trouble = (name) => this.#trouble(name);
  }

  #trouble(name: string): number {
    if (!this.random.once(4)) return Infinity;
    if (this.random.once(2)) return -this.random.of([EIO, ENOSPC, EAGAIN, EINTR]);
    return name.startsWith("flush") ? Infinity : this.random.of([0, 1, 511, 512, 700, 1024]);
  }

  step(): void {
    const { stand, random } = this;
    switch (random.below(8)) {
      case 0:
      case 1:
      case 2:
        return this.#submit();
      case 3:
        return stand.loop.turn();
      case 4:
        stand.disk.holding = !random.once(3);
        return;
      case 5:
        if (stand.disk.inFlight > 0) stand.disk.releaseAt(random.below(stand.disk.inFlight));
        return;
      case 6:
        return stand.loop.advance(random.below(30));
      case 7:
        return random.once(12) ? this.#reset() : this.collect();
    }
  }

  #submit(): void {
    const { stand, random } = this;
    const place = this.places[random.below(REQUESTS)] ?? fail("there is such a place");
    if (place.pending !== undefined) return;
    const index = random.below(QUEUES);
    const queue = stand.driver.queue(index);
    if (queue.freeDescriptors < 3) return;
    const isWrite = random.once(2);
    const placed = isWrite ? place.placed.write : place.placed.read;
    // The last writable byte is the status: no old one may pass for an answer.
    stand.ram.write(placed.writableAt + placed.writable - 1, Uint8Array.of(0xff));
    let data: Uint8Array | undefined;
    if (isWrite) {
      data = pattern(SECTORS_EACH * SECTOR, ++this.#serial);
      stand.ram.write(placed.readableAt + blockHeader(0).length, data);
    }
    const head = stand.driver.submit(queue, placed, random.once(3) ? "indirect" : "direct");
    place.pending = { queue: index, head, ...(data === undefined ? {} : { data }) };
  }

  /** `poll` fails on a head that the device does not have: one that came back twice. */
  collect(): void {
    for (let index = 0; index < QUEUES; index++) {
      for (const { head, length } of this.stand.driver.queue(index).poll()) {
        const place = this.places.find(({ pending }) =>
          pending?.queue === index && pending.head === head
        );
        this.#came(place ?? fail(`Head ${head} is nobody's`), length);
      }
    }
  }

  #came(place: Place, length: number): void {
    const { data } = place.pending ?? {};
    const placed = data === undefined ? place.placed.read : place.placed.write;
    const { response } = this.stand.driver.answer(placed, length);
    const status = response.at(-1);
    this.completed++;
    place.pending = undefined;
    if (status !== OK) {
      assertEquals(status, IOERR);
      this.failed++;
      if (data !== undefined) place.content = undefined;
    } else if (data !== undefined) {
      const { bytes } = this.stand.disk;
      const at = place.sector * SECTOR;
      assertEquals(bytes.slice(at, at + data.length), data, "what was acknowledged is on the disk");
      place.content = data;
    } else {
      assertEquals(length, SECTORS_EACH * SECTOR + 1);
      if (place.content !== undefined) assertEquals(response.slice(0, -1), place.content);
    }
  }

  #reset(): void {
    const { stand } = this;
    this.resets++;
    this.collect();
    const posted = stand.driver.transport.writeStatus(0);
    this.#assertNotReset();
    this.#calm();
    assert(posted.answered);
    assertEquals(stand.driver.transport.status(), 0, "status after a reset during I/O");
    this.collect(); // what was in flight came back first (HD-76)
    assertEquals(stand.ram.firstForeignChange(), undefined, "INV-2");
    stand.driver.forgetQueues();
    for (const place of this.places) {
      if (place.pending?.data !== undefined) place.content = undefined; // never seen, or not to its end
      place.pending = undefined;
    }
    stand.bringUp();
  }

  /** Everything ends, faults or not. */
  #calm(): void {
    const { disk, loop } = this.stand;
    const held = disk.holding;
    disk.holding = false;
    for (let i = 0; i < 110; i++) { // as long as retries last
      while (disk.inFlight > 0) {
        disk.releaseAt(this.random.below(disk.inFlight));
        this.#assertNotReset();
      }
      loop.advance(10);
    }
    disk.holding = held;
  }

  /** Once the driver reads 0 its memory is its own again. */
  #assertNotReset(): void {
    const { disk, driver } = this.stand;
    if (driver.transport.status() === 0) assertEquals(disk.inFlight, 0, "a reset before the end");
  }

  end(): void {
    this.#calm();
    this.collect();
    for (const place of this.places) assertEquals(place.pending, undefined, "came back");
    for (let index = 0; index < QUEUES; index++) {
      assertEquals(this.stand.driver.queue(index).outstanding, 0);
    }
    this.stand.disk.trouble = undefined;
    this.stand.checkInvariants();
  }
}

Deno.test("block over mmio, a disk that fails: each request comes back once, in every order", () => {
  let completed = 0, resets = 0, failed = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const storm = new Storm(seed);
    try {
      for (let i = 0; i < 400; i++) storm.step();
      storm.end();
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
    completed += storm.completed;
    resets += storm.resets;
    failed += storm.failed;
  }
  // The storm is one: all of it has happened, many times.
  assert(completed > 1000 && resets > 40 && failed > 100, `${completed} ${resets} ${failed}`);
});

block("what was done is counted, and what was refused", (stand) => {
  const counts = () => Object.fromEntries(BLOCK_COUNTERS.map((name, i) => [name, stand.counts[i]]));
  stand.disk.maxTransfer = 512; // counted once, however many calls a request takes
  stand.call(blockRead(1, 2048));
  stand.call(blockWrite(1, DATA));
  stand.disk.maxTransfer = Infinity;
  stand.call(blockWrite(2, DATA.subarray(0, 512)));
  stand.call(blockCommand(FLUSH));
  stand.call(blockCommand(DISCARD, blockRange(1, 1)));
  stand.call(blockRead(1000, 512)); // off the disk: the driver's mistake
  stand.disk.failing = "read";
  stand.call(blockRead(1, 512));
  assertEquals(counts(), {
    readBytes: 2048,
    writeBytes: 2560,
    reads: 1,
    writes: 2,
    flushes: 1,
    failures: 1,
  });
});
