/** A vsock device on a fake host, up and running, with the driver's half of the protocol. */
import { VIRTIO_VSOCK_TYPE_STREAM } from "../../devices/vsock/abi.ts";
import type { VsockType } from "../../devices/vsock/backend.ts";
import { VsockDevice } from "../../devices/vsock/device.ts";
import { assertEquals, fail } from "../../src/std/assert.ts";
import type { TransportKind } from "./driver_transport.ts";
import { type FakeStream, FakeVsockBackend } from "./fake_vsock.ts";
import { GuestRam } from "./guest_ram.ts";
import { InterruptSink } from "./interrupt_sink.ts";
import { ManualLoop } from "./manual_loop.ts";
import { MockDriver, type PlacedRequest } from "./mock_driver.ts";
import {
  GUEST_CID,
  type GuestPacket,
  type HostPacket,
  OP,
  packetBytes,
  parsePacket,
} from "./vsock_packets.ts";

const RECEIVE = 0;
const TRANSMIT = 1;
const EVENTS = 2;
const EMPTY = new Uint8Array();
const RAM_BYTES = 8 * 2 ** 20;

/** A connection as the test drives it. */
export interface Flow {
  readonly stream: FakeStream;
  /** Guest's port. */
  readonly from: number;
  /** Host's port. */
  readonly to: number;
  readonly type: VsockType;
}

export class VsockStand {
  readonly ram = new GuestRam(RAM_BYTES);
  readonly loop = new ManualLoop();
  readonly line = new InterruptSink();
  readonly faults: Error[] = [];
  readonly backend = new FakeVsockBackend(this.ram, (task) => this.loop.defer(task));
  readonly device = new VsockDevice(GUEST_CID, [this.backend]);
  readonly driver: MockDriver;
  readonly #sent = new Map<number, PlacedRequest>();
  readonly #posted = new Map<string, PlacedRequest>();
  readonly #free = new Map<string, PlacedRequest[]>();
  #nextPort = 5000;

  constructor(kind: TransportKind) {
    this.driver = new MockDriver(kind.attach(this.device, this), this.ram, this.loop);
    this.bringUp();
  }

  bringUp(features?: bigint): void {
    this.driver.bringUp(features === undefined ? {} : { features });
    this.#posted.clear();
  }

  /** Sends a packet and lets the device work on it. */
  send(packet: GuestPacket): void {
    this.sendBytes(packetBytes(packet));
  }

  /** The same for any bytes; the buffer comes back with length 0 (VSOCK-40). */
  sendBytes(bytes: Uint8Array): void {
    const { usedLength } = this.driver.callAgain(this.driver.queue(TRANSMIT), this.#place(bytes));
    assertEquals(usedLength, 0);
  }

  /** Publishes a packet without waiting for it. */
  post(packet: GuestPacket): void {
    const bytes = packetBytes(packet);
    const placed = this.driver.prepare({ readable: bytes, writable: 0 });
    this.driver.submit(this.driver.queue(TRANSMIT), placed);
  }

  /** Room for packets of each length, used again. */
  #place(bytes: Uint8Array): PlacedRequest {
    let placed = this.#sent.get(bytes.length);
    if (placed === undefined) {
      placed = this.driver.prepare({ readable: bytes, writable: 0 });
      this.#sent.set(bytes.length, placed);
    } else this.ram.write(placed.readableAt, bytes);
    return placed;
  }

  /** Offers receive buffers of `bytes` each, as long as there are descriptors. */
  offer(count = 16, bytes = 4096, queue = RECEIVE): void {
    for (let i = 0; i < count && this.driver.queue(queue).freeDescriptors > 0; i++) {
      const placed = this.#free.get(`${queue} ${bytes}`)?.pop() ??
        this.driver.prepare({ readable: EMPTY, writable: bytes });
      const head = this.driver.submit(this.driver.queue(queue), placed);
      this.#posted.set(`${queue} ${head}`, placed);
    }
    this.loop.settle();
  }

  /** Sixteen receive buffers are with the device. */
  #topUp(): void {
    this.offer(Math.max(0, 16 - this.driver.queue(RECEIVE).outstanding));
  }

  /** What came back in receive buffers (or event buffers) since the last call. */
  returned(queue = RECEIVE): Uint8Array[] {
    this.loop.settle();
    return this.driver.queue(queue).poll().map(({ head, length }) => {
      const placed = this.#posted.get(`${queue} ${head}`) ?? fail(`Head ${head} is unknown`);
      this.#posted.delete(`${queue} ${head}`);
      const key = `${queue} ${placed.writable}`;
      this.#free.set(key, [...(this.#free.get(key) ?? []), placed]);
      return this.ram.read(placed.writableAt, length);
    });
  }

  /** Packets from the device since the last call; each must be whole. Buffers that came back empty do not count. */
  heard(): HostPacket[] {
    return this.returned().filter(({ length }) => length > 0).map((bytes) => {
      const packet = parsePacket(bytes);
      assertEquals(bytes.length, 44 + packet.length);
      return packet;
    });
  }

  /** Their ops alone. */
  ops(): number[] {
    return this.heard().map(({ op }) => op);
  }

  offerEvents(bytes: number): void {
    this.offer(1, bytes, EVENTS);
  }

  events(): Uint8Array[] {
    return this.returned(EVENTS);
  }

  /** The guest calls the host. Receive buffers are offered. */
  guestCalls(
    to = 80,
    packet: Partial<GuestPacket> = {},
    type: VsockType = VIRTIO_VSOCK_TYPE_STREAM,
  ): Flow {
    const from = this.#nextPort++;
    this.#topUp();
    this.send({ op: OP.REQUEST, from, to, type, ...packet });
    assertEquals(this.heard().map(({ op, type }) => [op, type]), [[OP.RESPONSE, type]]);
    const stream = this.backend.called.at(-1)?.stream ?? fail("Nobody was called");
    return { stream, from, to, type };
  }

  /** The host calls the guest, which answers. */
  hostCalls(
    port = 22,
    packet: Partial<GuestPacket> = {},
    type: VsockType = VIRTIO_VSOCK_TYPE_STREAM,
  ): Flow {
    this.#topUp();
    const stream = this.backend.call(port, type) ?? fail("There is no room");
    const [request = fail("The device sent nothing")] = this.heard();
    assertEquals({ op: request.op, to: request.to, type: request.type }, {
      op: OP.REQUEST,
      to: port,
      type,
    });
    this.send({ op: OP.RESPONSE, from: port, to: request.from, type, ...packet });
    return { stream, from: port, to: request.from, type };
  }

  /** A packet on a flow. */
  on({ from, to, type }: Flow, packet: GuestPacket): void {
    this.send({ from, to, type, ...packet });
  }

  /** INV-2 and INV-3. */
  checkInvariants(): void {
    assertEquals(this.ram.firstForeignChange(), undefined, "INV-2");
    this.backend.listens = () => true;
    this.bringUp();
    this.guestCalls();
  }
}
