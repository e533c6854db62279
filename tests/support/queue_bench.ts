/** A split queue without a device or transport around it: the test is the device. */
import {
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from "../../src/abi/virtio.ts";
import { assertEquals, fail } from "../../src/std/assert.ts";
import type { DescriptorChain } from "../../src/virtio/chain.ts";
import { QueueConfig } from "../../src/virtio/queue_config.ts";
import type { SplitQueue } from "../../src/virtio/split_queue.ts";
import { DESC_BYTES, DriverQueue, type Placement } from "./driver_queue.ts";
import { GuestRam, HIGH_BASE, type Where } from "./guest_ram.ts";
import { InterruptRecord } from "./interrupt_sink.ts";
import type { Segment } from "./segments.ts";

export const FLAGS_ONLY: bigint = VIRTIO_F_VERSION_1 | VIRTIO_RING_F_INDIRECT_DESC;
export const EVENT_IDX: bigint = FLAGS_ONLY | VIRTIO_RING_F_EVENT_IDX;
const INDEX = 3;

/** What to make. */
export interface QueueBenchSetup {
  readonly size?: number;
  readonly features?: bigint;
  readonly where?: Where;
  readonly ram?: GuestRam;
}

export class QueueBench {
  readonly ram: GuestRam;
  readonly interrupt = new InterruptRecord();
  readonly driver: DriverQueue;
  readonly queue: SplitQueue;
  /** A buffer of 64 bytes, for chains whose contents do not matter. */
  readonly buffer: number;

  constructor({ size = 8, features = FLAGS_ONLY, where = "low", ram }: QueueBenchSetup = {}) {
    this.ram = ram ?? new GuestRam();
    const placement: Placement = {
      size,
      desc: this.ram.allocate(DESC_BYTES * size, 16, where),
      avail: this.ram.allocate(6 + 2 * size, 2, where),
      used: this.ram.allocate(6 + 8 * size, 4, where),
    };
    this.driver = new DriverQueue(this.ram, INDEX, placement);
    this.buffer = this.ram.allocate(64);
    const config = new QueueConfig(INDEX, size);
    for (const part of ["desc", "avail", "used"] as const) {
      config.setAddress(part, "low", placement[part] % HIGH_BASE);
      config.setAddress(part, "high", Math.floor(placement[part] / HIGH_BASE));
    }
    this.queue = config.activate(this.ram.memory, this.interrupt, features);
  }

  /** One descriptor over the spare buffer. */
  segment(length = 16, writable = false): Segment {
    return { at: this.buffer, length, writable };
  }

  /** Publishes one chain and pops it. */
  exchange(...segments: readonly Segment[]): DescriptorChain {
    this.driver.publish(this.driver.add(segments));
    return this.pop();
  }

  pop(): DescriptorChain {
    return this.queue.pop() ?? fail("The queue gave no chain");
  }

  /** Pops, completes and flushes everything there is; how many. */
  serve(): number {
    let count = 0;
    for (let chain = this.queue.pop(); chain !== undefined; chain = this.queue.pop()) {
      this.queue.complete(chain);
      count++;
    }
    this.queue.flush();
    return count;
  }

  /** Nothing changed but what may. */
  assertMemoryIntact(): void {
    assertEquals(this.ram.firstForeignChange(), undefined);
  }
}
