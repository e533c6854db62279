/** A block device on a fake disk, up and running, for cases about block requests. */
import { BlockDevice } from "../../devices/block/device.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { blockStatus } from "./block_requests.ts";
import type { DriverQueue, Layout } from "./driver_queue.ts";
import type { TransportKind } from "./driver_transport.ts";
import { FakeDisk, type FakeDiskSetup } from "./fake_disk.ts";
import { GuestRam } from "./guest_ram.ts";
import { InterruptSink } from "./interrupt_sink.ts";
import { ManualLoop } from "./manual_loop.ts";
import {
  type Answer,
  type BringUp,
  MockDriver,
  type RequestBytes,
  type Shape,
} from "./mock_driver.ts";

/** What a block device is made of, and what its driver accepts. */
export interface BlockStandSetup extends FakeDiskSetup {
  readonly id?: string;
  readonly queues?: number;
  /** Features the driver leaves out. */
  readonly without?: bigint;
}

/** A request that has not come back. */
export interface PendingRequest {
  readonly head: number;
  answer(usedLength: number): Answer;
}

export class BlockStand {
  readonly ram = new GuestRam();
  readonly loop = new ManualLoop();
  readonly line = new InterruptSink();
  readonly faults: Error[] = [];
  /** What the device said of its disk: operation and errno. */
  readonly failures: string[] = [];
  /** What it has counted, as last published. */
  counts: readonly number[] = [];
  readonly disk: FakeDisk;
  readonly driver: MockDriver;

  constructor(kind: TransportKind, setup: BlockStandSetup = {}) {
    this.disk = new FakeDisk(this.ram, setup);
    const device = new BlockDevice(
      this.disk,
      setup.id ?? "serial",
      setup.queues,
      (operation, errno) => this.failures.push(`${operation} ${errno}`),
      { publish: (counts) => this.counts = [...counts] },
    );
    this.driver = new MockDriver(kind.attach(device, this), this.ram, this.loop);
    this.bringUp({ features: this.driver.offered() & ~(setup.without ?? 0n) });
  }

  bringUp(options: BringUp = {}): void {
    this.driver.bringUp({ size: 64, ...options });
  }

  get queue(): DriverQueue {
    return this.driver.queue(0);
  }

  call(request: RequestBytes, shape: Shape = {}): Answer {
    return this.driver.call(this.queue, request, shape);
  }

  /** Sends a request and expects `status`, no data, and an untouched disk. */
  refuse(request: RequestBytes, status: number): void {
    const before = this.disk.bytes.slice();
    const answer = this.call(request);
    assertEquals(blockStatus(answer), status, "status");
    assertEquals(answer.usedLength, 1, "used.len");
    assert(equalBytes(this.disk.bytes, before), "the disk must not change");
  }

  /** Sends a request without waiting for it; the monitor has gone to sleep again before the next. */
  post(request: RequestBytes, layout: Layout = "direct"): PendingRequest {
    const placed = this.driver.prepare(request);
    const head = this.driver.submit(this.queue, placed, layout);
    this.loop.turn();
    return { head, answer: (usedLength) => this.driver.answer(placed, usedLength) };
  }

  /** Statuses of everything that has come back, by head. */
  collect(...pending: readonly PendingRequest[]): (number | undefined)[] {
    this.loop.settle();
    const used = new Map(this.queue.poll().map(({ head, length }) => [head, length]));
    return pending.map(({ head, answer }) => {
      const length = used.get(head);
      return length === undefined ? undefined : blockStatus(answer(length));
    });
  }

  /** INV-1 to INV-3 for the device itself: memory, then up again. */
  checkInvariants(): void {
    assertEquals(this.ram.firstForeignChange(), undefined, "INV-2");
    this.disk.holding = false;
    this.disk.release();
    this.bringUp();
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
