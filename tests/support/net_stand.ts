/** A network card on a fake network, up and running, with the driver's half of its queues. */
import { NetDevice, type NetSetup } from "../../devices/net/device.ts";
import { assertEquals, fail } from "../../src/std/assert.ts";
import type { DriverQueue } from "./driver_queue.ts";
import type { TransportKind } from "./driver_transport.ts";
import { FakeNetwork, type FakeNetworkSetup, type SentPacket } from "./fake_network.ts";
import { concat, GuestRam } from "./guest_ram.ts";
import { InterruptSink } from "./interrupt_sink.ts";
import { ManualLoop } from "./manual_loop.ts";
import { MockDriver, type PlacedRequest } from "./mock_driver.ts";
import { GUEST_MAC } from "./packets.ts";

/** What a card is made of, and what its driver leaves out. */
export interface NetStandSetup extends FakeNetworkSetup, Partial<NetSetup> {
  /** Features the driver leaves out. */
  readonly without?: bigint;
}

export class NetStand {
  readonly ram = new GuestRam(0x20_0000);
  readonly loop = new ManualLoop();
  readonly line = new InterruptSink();
  readonly faults: Error[] = [];
  /** What it has counted, as last published. */
  counts: readonly number[] = [];
  readonly network: FakeNetwork;
  readonly device: NetDevice;
  readonly driver: MockDriver;
  readonly #without: bigint;
  /** Receive buffers with the device, by queue. */
  readonly #posted = new Map<number, { readonly head: number; readonly placed: PlacedRequest }[]>();

  constructor(kind: TransportKind, setup: NetStandSetup = {}) {
    this.network = new FakeNetwork(this.ram, setup);
    this.device = new NetDevice(this.network, {
      mac: GUEST_MAC,
      counters: { publish: (counts) => this.counts = [...counts] },
      ...setup,
    });
    this.driver = new MockDriver(kind.attach(this.device, this), this.ram, this.loop);
    this.#without = setup.without ?? 0n;
    this.bringUp();
  }

  bringUp(): void {
    this.driver.bringUp({ size: 64, features: this.driver.offered() & ~this.#without });
    this.#posted.clear();
  }

  queue(index: number): DriverQueue {
    return this.driver.queue(index);
  }

  /** The device's configuration, byte by byte. */
  config(offset: number, length: number): Uint8Array {
    return Uint8Array.from(
      { length },
      (_, i) => this.driver.transport.readConfig(offset + i, 1),
    );
  }

  /** Sends bytes that begin with a header; what the network got of it, if anything. */
  send(packet: Uint8Array, pair = 0): SentPacket | undefined {
    const before = this.network.sent.length;
    const answer = this.driver.call(this.queue(2 * pair + 1), { readable: packet, writable: 0 });
    assertEquals(answer.usedLength, 0, "used.len of a sent packet (NET-23)");
    return this.network.sent[before];
  }

  /** Offers receive buffers of these sizes. */
  offer(sizes: readonly number[], pair = 0): void {
    const index = 2 * pair;
    for (const size of sizes) {
      const placed = this.driver.prepare({ readable: new Uint8Array(), writable: size });
      const head = this.driver.submit(this.queue(index), placed);
      this.#posted.set(index, [...this.#postedOn(index), { head, placed }]);
    }
    this.loop.settle();
  }

  /** Buffers that came back since the last call, cut to their used length. */
  received(pair = 0): Uint8Array[] {
    this.loop.settle();
    const index = 2 * pair;
    return this.queue(index).poll().map(({ head, length }) => {
      const posted = this.#postedOn(index);
      const mine = posted.find((other) => other.head === head) ?? fail(`Head ${head} is unknown`);
      this.#posted.set(index, posted.filter((other) => other !== mine));
      return this.ram.read(mine.placed.writableAt, length);
    });
  }

  #postedOn(index: number) {
    return this.#posted.get(index) ?? [];
  }

  /** Whether a frame that arrives now reaches the driver; one buffer must be with the device. */
  accepts(packet: Uint8Array): boolean {
    this.network.arrive(packet);
    const got = this.received();
    if (got.length > 0) this.offer([2048]);
    return got.length > 0;
  }

  /** Sends a command; the answer, or undefined when nothing was written. */
  command(bytes: Uint8Array, writable = 1): number | undefined {
    const last = Math.max(...this.driver.queues.keys());
    const answer = this.driver.call(this.queue(last), { readable: bytes, writable });
    return answer.usedLength === 0 ? undefined : answer.response[0];
  }

  /** INV-2, INV-3 and that nobody was blamed. */
  checkInvariants(): void {
    assertEquals(this.ram.firstForeignChange(), undefined, "INV-2");
    assertEquals(this.faults, []);
    this.network.room = Infinity;
    this.bringUp();
    const packet = concat(new Uint8Array(12), new Uint8Array(60));
    assertEquals(this.send(packet)?.frame.length, 60, "INV-3");
  }
}
