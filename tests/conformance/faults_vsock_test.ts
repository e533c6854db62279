/**
 * A host whose sockets break, hang up and stop reading, under a driver that counts: each buffer comes back once, and
 * what arrives of a stream is its beginning, in both directions.
 */
import { assert, assertEquals, fail } from "../../src/std/assert.ts";
import { Random } from "../fuzz/random.ts";
import type { FakeStream } from "../support/fake_vsock.ts";
import type { PlacedRequest } from "../support/mock_driver.ts";
import { MMIO } from "../support/mmio_driver.ts";
import {
  type HostPacket,
  OP,
  packetBytes,
  parsePacket,
  RCV,
  SEND,
} from "../support/vsock_packets.ts";
import { VsockStand } from "../support/vsock_stand.ts";

const RECEIVE = 0, TRANSMIT = 1;
const HEADER_BYTES = 44;
const PAYLOAD_BYTES = 600;
const BUFFER_BYTES = 1024;
const REQUESTS = 60;
/** Less than the credit that the device gives at the start: the guest never breaks it. */
const MAX_SENT = 200 * 1024;

/** Bytes [from, from + length) of the one stream that everybody sends. */
function content(from: number, length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (from + i) * 31 + ((from + i) >> 8));
}

/** A connection as both ends see it. */
class Flow {
  /** Whether the guest may send: it has heard, or said, RESPONSE. */
  isOpen = false;
  /** The guest has said RST, or heard it. */
  isOver = false;
  endedByGuest = 0;
  sent = 0;
  said = 0;
  heard = 0;

  constructor(readonly from: number, readonly to: number, readonly stream: FakeStream) {}
}

class Storm {
  readonly stand = new VsockStand(MMIO);
  readonly random: Random;
  readonly free: Record<"receive" | "transmit", PlacedRequest[]>;
  readonly pending: Record<"receive" | "transmit", Map<number, PlacedRequest>> = {
    receive: new Map(),
    transmit: new Map(),
  };
  counts = { packets: 0, heard: 0, resets: 0, broken: 0, flows: 0 };
  #flows: Flow[] = [];
  /** Callers whose REQUEST the guest has not seen. */
  #callers: { readonly port: number; readonly stream: FakeStream }[] = [];
  #streams: FakeStream[] = [];
  #nextPort = 1;

  constructor(seed: number) {
    this.random = new Random(seed);
    const { driver } = this.stand;
    this.free = {
      receive: Array.from(
        { length: REQUESTS },
        () => driver.prepare({ readable: new Uint8Array(), writable: BUFFER_BYTES }),
      ),
      transmit: Array.from(
        { length: REQUESTS },
        () =>
          driver.prepare({ readable: new Uint8Array(HEADER_BYTES + PAYLOAD_BYTES), writable: 0 }),
      ),
    };
  }

  step(): void {
    const { random, stand } = this;
    switch (random.below(14)) {
      case 0:
      case 1:
      case 2:
        return this.#offer();
      case 3:
        return this.#flows.length < 12 ? this.#guestCalls() : undefined;
      case 4:
        return this.#flows.length < 12 ? this.#hostCalls() : undefined;
      case 5:
      case 6:
      case 7:
        return this.#guestSends();
      case 8:
      case 9:
        return this.#hostSays();
      case 10:
        return this.#hostFails();
      case 11:
        return this.#guestEnds();
      case 12:
        return random.once(3) ? stand.loop.advance(random.below(500)) : stand.loop.turn();
      case 13:
        return random.once(40) ? this.#reset() : this.collect();
    }
  }

  #any(): Flow | undefined {
    return this.#flows.length === 0
      ? undefined
      : this.#flows[this.random.below(this.#flows.length)];
  }

  #offer(): void {
    const placed = this.free.receive.pop();
    if (placed === undefined) return;
    const head = this.stand.driver.submit(this.stand.driver.queue(RECEIVE), placed);
    this.pending.receive.set(head, placed);
  }

  /** Whether there was a buffer for it. */
  #post(
    { from, to }: Pick<Flow, "from" | "to">,
    op: number,
    payload: Uint8Array = new Uint8Array(),
    flags = 0,
    fwdCnt = 0,
  ): boolean {
    const placed = this.free.transmit.pop();
    if (placed === undefined) return false;
    const { driver, ram } = this.stand;
    ram.write(placed.readableAt, packetBytes({ op, from, to, payload, flags, fwdCnt }));
    this.pending.transmit.set(driver.submit(driver.queue(TRANSMIT), placed), placed);
    return true;
  }

  #guestCalls(): void {
    const addresses = { from: 10_000 + this.#nextPort++, to: 80 };
    const { backend, loop } = this.stand;
    backend.listens = () => !this.random.once(5);
    const before = backend.called.length;
    if (!this.#post(addresses, OP.REQUEST)) return;
    loop.settle();
    const stream = backend.called[before]?.stream;
    if (stream === undefined) return; // refused, or behind replies that wait
    this.#add(new Flow(addresses.from, addresses.to, stream));
  }

  #hostCalls(): void {
    const port = 100 + this.#nextPort++;
    const stream = this.stand.backend.call(port);
    if (stream === undefined) return;
    this.#streams.push(stream);
    this.#callers.push({ port, stream });
  }

  #add(flow: Flow): void {
    this.counts.flows++;
    this.#flows.push(flow);
    if (!this.#streams.includes(flow.stream)) this.#streams.push(flow.stream);
    if (this.random.once(3)) flow.stream.room = this.random.below(2000);
  }

  #guestSends(): void {
    const flow = this.#any();
    if (flow === undefined || !flow.isOpen || flow.isOver) return;
    if ((flow.endedByGuest & SEND) !== 0 || flow.sent > MAX_SENT) return;
    const length = 1 + this.random.below(PAYLOAD_BYTES);
    if (this.#post(flow, OP.RW, content(flow.sent, length), 0, flow.heard)) flow.sent += length;
  }

  #guestEnds(): void {
    const flow = this.#any();
    if (flow === undefined || !flow.isOpen || flow.isOver || !this.random.once(4)) return;
    if (this.random.once(3)) {
      if (this.#post(flow, OP.RST)) flow.isOver = true;
      return;
    }
    const flags = 1 + this.random.below(3);
    if (this.#post(flow, OP.SHUTDOWN, undefined, flags)) flow.endedByGuest |= flags;
  }

  #hostSays(): void {
    const flow = this.#any();
    if (flow === undefined || flow.stream.isClosed || flow.stream.peerClosed) return;
    if (this.random.once(4)) return flow.stream.makeRoom(this.random.below(3000));
    const length = 1 + this.random.below(900);
    flow.stream.readLimit = this.random.once(3) ? 100 : Infinity;
    const from = flow.said;
    flow.said += length;
    flow.stream.say(content(from, length));
  }

  #hostFails(): void {
    const stream = this.#any()?.stream;
    if (stream === undefined || stream.isClosed || !this.random.once(3)) return;
    this.counts.broken++;
    switch (this.random.below(5)) {
      case 0:
        stream.broken.read = true;
        return stream.say(new Uint8Array(1)); // which is never read
      case 1:
        stream.broken.write = true;
        return stream.makeRoom(1);
      case 2:
        stream.room = 0;
        return;
      case 3:
        return stream.end();
      case 4:
        return stream.peerClosed ? undefined : stream.hangUp();
    }
  }

  /** `poll` fails on a head that the device does not have: one that came back twice. */
  collect(): void {
    const { driver, ram } = this.stand;
    for (const { head, length } of driver.queue(TRANSMIT).poll()) {
      assertEquals(length, 0, "VSOCK-40");
      this.free.transmit.push(this.#back("transmit", head));
      this.counts.packets++;
    }
    for (const { head, length } of driver.queue(RECEIVE).poll()) {
      const placed = this.#back("receive", head);
      this.free.receive.push(placed);
      if (length > 0) this.#hear(parsePacket(ram.read(placed.writableAt, length)));
    }
    for (const flow of this.#flows) {
      const { received } = flow.stream;
      assertEquals(received, content(0, received.length), "what the host got");
      assert(received.length <= flow.sent);
    }
    this.#flows = this.#flows.filter((flow) => !flow.isOver);
  }

  #back(direction: "receive" | "transmit", head: number): PlacedRequest {
    const placed = this.pending[direction].get(head) ?? fail(`Head ${head} is nobody's`);
    this.pending[direction].delete(head);
    return placed;
  }

  #hear(packet: HostPacket): void {
    assertEquals(packet.payload.length, packet.length);
    if (packet.op === OP.REQUEST) {
      const index = this.#callers.findIndex(({ port }) => port === packet.to);
      const [caller] = this.#callers.splice(index, 1);
      if (index < 0 || caller === undefined) fail(`a REQUEST for port ${packet.to} twice`);
      const flow = new Flow(packet.to, packet.from, caller.stream);
      if (this.random.once(4)) return void this.#post(flow, OP.RST);
      if (!this.#post(flow, OP.RESPONSE)) return; // it finds out by its deadline
      flow.isOpen = true;
      return this.#add(flow);
    }
    const flow = this.#flows.find(({ from, to }) => from === packet.to && to === packet.from);
    if (flow === undefined) return; // a flow that the guest has reset is over before all of it has come
    if (packet.op === OP.RESPONSE) {
      assert(!flow.isOpen, "RESPONSE twice");
      flow.isOpen = true;
    } else if (packet.op === OP.RW) {
      assertEquals(packet.payload, content(flow.heard, packet.length), "what the guest got");
      flow.heard += packet.length;
      this.counts.heard += packet.length;
    } else if (packet.op === OP.RST) {
      flow.isOver = true;
    } else if (packet.op === OP.SHUTDOWN && packet.flags === (RCV | SEND)) {
      if (this.#post(flow, OP.RST)) flow.isOver = true;
    }
  }

  #reset(): void {
    const { stand } = this;
    this.counts.resets++;
    this.collect();
    stand.driver.reset();
    for (const direction of ["receive", "transmit"] as const) {
      this.free[direction].push(...this.pending[direction].values());
      this.pending[direction].clear();
    }
    this.#flows = [];
    this.#callers = [];
    this.#assertNothingOpen();
    stand.loop.advance(10_000);
    assertEquals(stand.ram.firstForeignChange(), undefined, "INV-2");
    stand.bringUp();
  }

  #assertNothingOpen(): void {
    assertEquals(this.stand.device.connections, 0);
    for (const stream of this.#streams) assert(stream.isClosed, "a stream is left open");
    this.#streams = [];
  }

  /** All hosts and the guest give up: every connection ends, every packet is taken. */
  end(): void {
    const { stand } = this;
    for (let round = 0; round < 60; round++) {
      for (const flow of this.#flows) {
        flow.stream.room = Infinity;
        if (!flow.stream.isClosed) flow.stream.makeRoom(0);
        if (flow.isOpen && round === 1 && this.#post(flow, OP.RST)) flow.isOver = true;
      }
      for (let i = 0; i < 20; i++) this.#offer();
      stand.loop.advance(100);
      this.collect();
    }
    assertEquals(this.pending.transmit.size, 0, "every packet was taken");
    for (const flow of this.#flows) if (!flow.isOver) this.#post(flow, OP.RST);
    stand.loop.advance(10_000);
    this.collect();
    this.#assertNothingOpen();
    stand.backend.listens = () => true;
    stand.driver.reset();
    stand.checkInvariants();
  }
}

Deno.test("vsock over mmio, a host that fails: each buffer comes back once, streams whole", () => {
  const total: Storm["counts"] = { packets: 0, heard: 0, resets: 0, broken: 0, flows: 0 };
  for (let seed = 1; seed <= 30; seed++) {
    const storm = new Storm(seed);
    try {
      for (let i = 0; i < 600; i++) storm.step();
      storm.end();
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += storm.counts[key];
  }
  // The storm is one: all of it has happened, many times.
  const { packets, heard, resets, broken, flows } = total;
  assert(packets > 2000 && heard > 50_000 && resets > 10, JSON.stringify(total));
  assert(broken > 100 && flows > 200, JSON.stringify(total));
});
