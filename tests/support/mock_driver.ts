/** A driver that knows registers and guest memory, and nothing of what is behind them. */
import { assert, assertEquals, fail } from "../../src/std/assert.ts";
import {
  VIRTIO_CONFIG_S_ACKNOWLEDGE,
  VIRTIO_CONFIG_S_DRIVER,
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FEATURES_OK,
  VIRTIO_RING_F_EVENT_IDX,
} from "../../src/abi/virtio.ts";
import { DESC_BYTES, DriverQueue, type Layout, type Placement } from "./driver_queue.ts";
import type { DriverTransport } from "./driver_transport.ts";
import type { GuestRam, Where } from "./guest_ram.ts";
import type { ManualLoop } from "./manual_loop.ts";
import { type Cut, cutAll, type Segment, UNCUT } from "./segments.ts";

const A = VIRTIO_CONFIG_S_ACKNOWLEDGE;
const AD = A | VIRTIO_CONFIG_S_DRIVER;
const ADF = AD | VIRTIO_CONFIG_S_FEATURES_OK;
/** Status once a driver is up. */
export const RUNNING: number = ADF | VIRTIO_CONFIG_S_DRIVER_OK;

/** How to bring a device up; every part has a default. */
export interface BringUp {
  /** Features to accept; all that are offered by default. */
  readonly features?: bigint;
  /** Queues to set up; all there are by default. */
  readonly queues?: readonly number[];
  /** Ring size; the maximum of each queue by default. */
  readonly size?: number;
  readonly where?: Where;
}

/** What to send: bytes the device reads, then room for what it writes. */
export interface RequestBytes {
  readonly readable: Uint8Array;
  readonly writable: number;
}

/** A request in guest memory. May be submitted again once it has come back. */
export interface PlacedRequest {
  readonly segments: readonly Segment[];
  readonly readableAt: number;
  readonly writableAt: number;
  readonly writable: number;
}

/** How a request goes into the ring. */
export interface Shape {
  readonly cut?: Cut;
  readonly layout?: Layout;
  readonly where?: Where;
}

/** What came back for one request. */
export interface Answer {
  readonly response: Uint8Array;
  readonly usedLength: number;
}

export class MockDriver {
  readonly queues = new Map<number, DriverQueue>();
  /** Rings of `bringUp`, used again by the next one. */
  readonly #placements = new Map<string, Placement>();
  #features = 0n;

  constructor(
    readonly transport: DriverTransport,
    readonly ram: GuestRam,
    readonly loop: ManualLoop,
  ) {}

  /** Features of the last `negotiate`. */
  get features(): bigint {
    return this.#features;
  }

  get eventIdx(): boolean {
    return (this.#features & VIRTIO_RING_F_EVENT_IDX) !== 0n;
  }

  /** Writes 0 and waits for the device; the rings are the driver's again. */
  reset(): void {
    this.transport.writeStatus(0);
    this.loop.settle();
    assertEquals(this.transport.status(), 0, "Status after reset");
    this.forgetQueues();
  }

  /** After a reset: whatever was in flight is gone, and the device may write nowhere. */
  forgetQueues(): void {
    for (const queue of this.queues.values()) queue.retire();
    this.queues.clear();
  }

  /** Everything the device offers. */
  offered(): bigint {
    let features = 0n;
    for (let word = 3; word >= 0; word--) {
      features = (features << 32n) | BigInt(this.transport.deviceFeatures(word));
    }
    return features;
  }

  writeFeatures(features: bigint): void {
    for (let word = 0; word < 4; word++) {
      this.transport.writeDriverFeatures(
        word,
        Number((features >> BigInt(32 * word)) & 0xffff_ffffn),
      );
    }
  }

  /** From reset to FEATURES_OK. Fails when the device refuses. */
  negotiate(features?: bigint): void {
    this.reset();
    this.transport.writeStatus(A);
    this.transport.writeStatus(AD);
    this.#features = features ?? this.offered();
    this.writeFeatures(this.#features);
    this.transport.writeStatus(ADF);
    assertEquals(this.transport.status(), ADF, "Status after FEATURES_OK");
  }

  /** Rings of one queue, at the smallest alignment the spec allows, in one region. */
  place(size: number, where: Where = "low"): Placement {
    return {
      size,
      desc: this.ram.allocate(DESC_BYTES * size, 16, where),
      avail: this.ram.allocate(6 + 2 * size, 2, where),
      used: this.ram.allocate(6 + 8 * size, 4, where),
    };
  }

  /** Programs a queue and makes it ready. */
  setUpQueue(
    index: number,
    placement: Placement = this.place(this.transport.queueMaxSize(index)),
  ): DriverQueue {
    const queue = new DriverQueue(this.ram, index, placement);
    this.program(index, placement);
    this.transport.enableQueue(index);
    assert(this.transport.queueReady(index), `Queue ${index} did not become ready`);
    this.queues.set(index, queue);
    return queue;
  }

  /** Writes a queue's size and addresses, without making it ready. */
  program(index: number, placement: Placement): void {
    this.transport.writeQueueSize(index, placement.size);
    this.transport.writeQueueAddress(index, "desc", BigInt(placement.desc));
    this.transport.writeQueueAddress(index, "avail", BigInt(placement.avail));
    this.transport.writeQueueAddress(index, "used", BigInt(placement.used));
  }

  start(): void {
    this.transport.writeStatus(RUNNING);
    this.loop.settle();
    assertEquals(this.transport.status(), RUNNING, "Status after DRIVER_OK");
  }

  /** The whole happy path: reset to DRIVER_OK. */
  bringUp({ features, queues, size, where = "low" }: BringUp = {}): void {
    this.negotiate(features);
    for (const index of queues ?? this.existingQueues()) {
      const max = this.transport.queueMaxSize(index);
      this.setUpQueue(index, this.#usualPlace(index, Math.min(size ?? max, max), where));
    }
    this.start();
  }

  #usualPlace(index: number, size: number, where: Where): Placement {
    const key = `${index} ${size} ${where}`;
    const placement = this.#placements.get(key) ?? this.place(size, where);
    this.#placements.set(key, placement);
    return placement;
  }

  existingQueues(): number[] {
    const found: number[] = [];
    while (this.transport.queueMaxSize(found.length) !== 0) found.push(found.length);
    return found;
  }

  queue(index: number): DriverQueue {
    return this.queues.get(index) ?? fail(`Queue ${index} is not set up`);
  }

  /** Finds room for a request and writes what the device is to read. */
  prepare(request: RequestBytes, { cut = UNCUT, where = "low" }: Shape = {}): PlacedRequest {
    const { readable, writable } = request;
    const readableAt = this.ram.allocate(readable.length, 1, where);
    const writableAt = this.ram.allocate(writable, 1, where);
    this.ram.write(readableAt, readable);
    const segments: Segment[] = [];
    if (readable.length > 0) {
      segments.push({ at: readableAt, length: readable.length, writable: false });
    }
    if (writable > 0) segments.push({ at: writableAt, length: writable, writable: true });
    return { segments: cutAll(segments, cut), readableAt, writableAt, writable };
  }

  /** Adds and publishes; kicks when the device asked for it. Returns the head. */
  submit(queue: DriverQueue, placed: PlacedRequest, layout: Layout = "direct"): number {
    const head = queue.add(placed.segments, layout);
    queue.publish(head);
    if (queue.wantsKick(this.eventIdx)) this.transport.kick(queue.index);
    return head;
  }

  /** Sends one request and waits for its answer. */
  call(queue: DriverQueue, request: RequestBytes, shape: Shape = {}): Answer {
    return this.callAgain(queue, this.prepare(request, shape), shape.layout);
  }

  /** Sends a placed request once more and waits for its answer. */
  callAgain(queue: DriverQueue, placed: PlacedRequest, layout: Layout = "direct"): Answer {
    const head = this.submit(queue, placed, layout);
    this.loop.settle();
    const used = queue.poll();
    assertEquals(used.map((element) => element.head), [head], "Heads that came back");
    return this.answer(placed, used[0]?.length ?? 0);
  }

  /** What the device wrote for `placed`. */
  answer(placed: PlacedRequest, usedLength: number): Answer {
    return { response: this.ram.read(placed.writableAt, placed.writable), usedLength };
  }
}
