/**
 * A network that comes, goes and stops taking packets, under a driver that counts: each buffer comes back once, and
 * each frame arrives once and in its order, or not at all.
 */
import { assert, assertEquals, assertGreater, fail } from "../../src/std/assert.ts";
import { Random } from "../fuzz/random.ts";
import { concat, littleEndian } from "../support/guest_ram.ts";
import type { PlacedRequest } from "../support/mock_driver.ts";
import { MMIO } from "../support/mmio_driver.ts";
import { NetStand, type NetStandSetup } from "../support/net_stand.ts";
import { GUEST_MAC } from "../support/packets.ts";

const RECEIVE = 0, TRANSMIT = 1;
const HEADER_BYTES = 12;
/** Behind both addresses and the type. */
const NUMBER_AT = HEADER_BYTES + 14;
const PACKET_BYTES = HEADER_BYTES + 60;
const BUFFER_BYTES = 2048;
const REQUESTS = 40;

/** A frame for the guest, or from it, that can be told from all others. */
function packet(number: number): Uint8Array<ArrayBuffer> {
  const frame = concat(new Uint8Array(HEADER_BYTES), GUEST_MAC, new Uint8Array(8));
  return concat(frame, littleEndian(number, 4), new Uint8Array(PACKET_BYTES - NUMBER_AT - 4));
}

function numberOf(bytes: Uint8Array<ArrayBuffer>, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}

/** One direction of the driver: requests that are free, and those with the device. */
class Direction {
  readonly free: PlacedRequest[];
  readonly pending = new Map<number, PlacedRequest>();

  constructor(readonly stand: NetStand, readonly index: number) {
    const bytes = index === TRANSMIT
      ? { readable: new Uint8Array(PACKET_BYTES), writable: 0 }
      : { readable: new Uint8Array(), writable: BUFFER_BYTES };
    this.free = Array.from({ length: REQUESTS }, () => stand.driver.prepare(bytes));
  }

  /** Gives the device one more, if there is one. */
  submit(fill: (placed: PlacedRequest) => void): void {
    const placed = this.free.pop();
    if (placed === undefined) return;
    fill(placed);
    const head = this.stand.driver.submit(this.stand.queue(this.index), placed);
    this.pending.set(head, placed);
  }

  /** What came back. `poll` fails on a head that the device does not have. */
  collect(came: (placed: PlacedRequest, length: number) => void): void {
    for (const { head, length } of this.stand.queue(this.index).poll()) {
      const placed = this.pending.get(head) ?? fail(`Head ${head} is nobody's`);
      this.pending.delete(head);
      this.free.push(placed);
      came(placed, length);
    }
  }

  forget(): void {
    this.free.push(...this.pending.values());
    this.pending.clear();
  }
}

class Storm {
  readonly stand: NetStand;
  readonly random: Random;
  readonly transmit: Direction;
  readonly receive: Direction;
  counts = { sent: 0, received: 0, resets: 0, refused: 0 };
  #serial = 0;
  #lastReceived = 0;
  #seenSent = 0;
  #lastSent = 0;

  constructor(seed: number, setup: NetStandSetup) {
    this.random = new Random(seed);
    this.stand = new NetStand(MMIO, setup);
    this.transmit = new Direction(this.stand, TRANSMIT);
    this.receive = new Direction(this.stand, RECEIVE);
  }

  step(): void {
    const { stand, random } = this;
    const { network, loop } = stand;
    switch (random.below(12)) {
      case 0:
      case 1:
        return this.#send();
      case 2:
      case 3:
        return this.receive.submit(() => {});
      case 4:
      case 5:
        return network.arrive(packet(++this.#serial));
      case 6:
        network.room = random.below(3); // `writable` has to follow, or the guest's queue would stand still
        return;
      case 7:
        return network.makeRoom(random.below(5));
      case 8:
        return random.once(3) ? network.setCarrier(random.once(2)) : loop.turn();
      case 9:
        return random.once(3) ? stand.device.setLink(!random.once(4)) : loop.turn();
      case 10:
        return loop.advance(random.below(30));
      case 11:
        return random.once(20) ? this.#reset() : this.collect();
    }
  }

  #send(): void {
    const { stand } = this;
    if (stand.network.room === 0) this.counts.refused++;
    this.transmit.submit((placed) => stand.ram.write(placed.readableAt, packet(++this.#serial)));
  }

  collect(): void {
    this.transmit.collect((_, length) => assertEquals(length, 0, "used.len (NET-23)"));
    this.receive.collect((placed, length) => {
      assertEquals(length, PACKET_BYTES);
      const number = numberOf(this.stand.ram.read(placed.writableAt, length).slice(), NUMBER_AT);
      assertGreater(number, this.#lastReceived, "a frame twice, or out of order");
      this.#lastReceived = number;
      this.counts.received++;
    });
    const { sent } = this.stand.network;
    for (; this.#seenSent < sent.length; this.#seenSent++) {
      const number = numberOf(sent[this.#seenSent]?.frame ?? fail("there is"), 14);
      assertGreater(number, this.#lastSent, "a frame sent twice, or out of order");
      this.#lastSent = number;
      this.counts.sent++;
    }
  }

  #reset(): void {
    const { stand } = this;
    this.counts.resets++;
    this.collect();
    stand.driver.reset();
    this.transmit.forget();
    this.receive.forget();
    stand.network.arrive(packet(++this.#serial)); // for nobody
    stand.network.makeRoom(Infinity); // while there is no driver: the next one knows nothing of what waited
    stand.loop.settle();
    assertEquals(stand.ram.firstForeignChange(), undefined, "INV-2");
    stand.bringUp();
    this.#send();
    for (let i = 0; i < 20; i++) stand.loop.advance(50); // as long as a rate limit may take
    assertEquals(stand.queue(TRANSMIT).usedIdx, 1, "a new driver's first packet is taken");
  }

  /** The network is well again: nothing may be stuck. */
  end(): void {
    const { stand } = this;
    stand.network.setCarrier(true);
    stand.device.setLink(true);
    stand.network.makeRoom(Infinity);
    stand.loop.settle();
    for (let i = 0; i < 200; i++) stand.loop.advance(50); // what a rate limit lets through
    this.collect();
    assertEquals(this.transmit.pending.size, 0, "every buffer sent came back");
    for (let i = 0; stand.network.waiting() > 0; i++) {
      this.receive.submit(() => {});
      stand.loop.settle();
      this.collect();
      assert(i < 10_000, "frames wait for ever");
    }
    stand.network.arrive(packet(++this.#serial));
    this.receive.submit(() => {});
    stand.loop.settle();
    this.collect();
    assertEquals(this.#lastReceived, this.#serial, "the last frame arrives");
    stand.checkInvariants();
  }
}

for (
  const [name, setup] of [
    ["", {}],
    [", without MRG_RXBUF", { without: 1n << 15n }],
    [", with a limit", { sendRate: { packetsPerSecond: 200 } }],
  ] as const
) {
  Deno.test(`net over mmio, a network that fails: each buffer comes back once${name}`, () => {
    const total = { sent: 0, received: 0, resets: 0, refused: 0 };
    for (let seed = 1; seed <= 30; seed++) {
      const storm = new Storm(seed, setup);
      try {
        for (let i = 0; i < 600; i++) storm.step();
        storm.end();
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
      for (const key of ["sent", "received", "resets", "refused"] as const) {
        total[key] += storm.counts[key];
      }
    }
    // The storm is one: all of it has happened, many times.
    assert(Object.values(total).every((count) => count > 20), JSON.stringify(total));
  });
}
