/**
 * What every transport shares: status and feature negotiation as a table (spec 2.1, 2.2, 3.1), queue set-up,
 * activation, NEEDS_RESET and reset with requests in flight. A transport is register decoding over this.
 */
import {
  VIRTIO_CONFIG_S_ACKNOWLEDGE as ACKNOWLEDGE,
  VIRTIO_CONFIG_S_DRIVER as DRIVER,
  VIRTIO_CONFIG_S_DRIVER_OK as DRIVER_OK,
  VIRTIO_CONFIG_S_FAILED as FAILED,
  VIRTIO_CONFIG_S_FEATURES_OK as FEATURES_OK,
  VIRTIO_CONFIG_S_NEEDS_RESET as NEEDS_RESET,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from "../abi/virtio.ts";
import type { EventLoop, PollSource, Watch } from "../loop/event_loop.ts";
import { GuestFault, type GuestMemory } from "../memory/guest_memory.ts";
import type { ActivationContext, Interrupt, VirtioDevice, Virtqueue } from "./device.ts";
import { DriverFault } from "./faults.ts";
import { QueueConfig } from "./queue_config.ts";
import type { SplitQueue } from "./split_queue.ts";

/** Offered for every device: what our rings can do. */
export const RING_FEATURES: bigint = VIRTIO_F_VERSION_1 | VIRTIO_RING_F_EVENT_IDX |
  VIRTIO_RING_F_INDIRECT_DESC;

/** The driver's bits in the order it may set them; each needs the one before. */
const STEPS = [
  { bit: ACKNOWLEDGE, needs: 0 },
  { bit: DRIVER, needs: ACKNOWLEDGE },
  { bit: FEATURES_OK, needs: DRIVER },
  { bit: DRIVER_OK, needs: FEATURES_OK },
] as const;
/** A device runs while of these only DRIVER_OK is set. */
const RUNNING_MASK = DRIVER_OK | FAILED | NEEDS_RESET;
const STEP_BITS = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;

/** Feature words the driver may select: 128 bits (spec 2.2, BF-FEAT-10). */
const FEATURE_WORDS = 4;

/** What a transport lends the state machine. */
export interface DeviceStateHost {
  readonly memory: GuestMemory;
  readonly loop: EventLoop;
  readonly interrupt: Interrupt;
  /** Takes back every interrupt bit (reset, BF-RESET-06). */
  clearInterrupts(): void;
  /** A driver broke its device: for the log, at most once per life of the device (INV-4). */
  faulted(reason: Error): void;
}

/** One device's negotiation and life. Owned by the I/O thread. */
export class DeviceState {
  readonly device: VirtioDevice;
  readonly queues: readonly QueueConfig[];
  readonly #host: DeviceStateHost;
  readonly #offered: bigint;
  readonly #driverWords = new Uint32Array(FEATURE_WORDS);
  #status = 0;
  #running: (Virtqueue | undefined)[] = [];
  /** The loop's looks at running queues; a queue whose rings must not be touched any more is not looked at. */
  #polls: (Watch | undefined)[] = [];
  /** Ends when a reset or queue stop has seen the last request; undefined otherwise. */
  #draining: (() => void)[] | undefined;
  #isDown = false;
  /** Tags a life of the device: deferred work of an earlier one is void (HD-47). */
  #life = 0;

  constructor(device: VirtioDevice, host: DeviceStateHost) {
    this.device = device;
    this.#host = host;
    this.#offered = device.features | RING_FEATURES;
    this.queues = device.queueSizes.map((size, index) => new QueueConfig(index, size));
  }

  get status(): number {
    return this.#status;
  }

  /** Bits 32 * `word` and up of the offer; 0 beyond the defined words (MMIO-07). */
  offeredWord(word: number): number {
    if (word >= FEATURE_WORDS) return 0;
    return Number((this.#offered >> BigInt(32 * word)) & 0xffff_ffffn);
  }

  /** Replaces a word of the driver's set; counts in DRIVER state before FEATURES_OK only (MMIO-09). */
  writeDriverWord(word: number, value: number): void {
    if (word >= FEATURE_WORDS || (this.#status & (DRIVER | FEATURES_OK | FAILED)) !== DRIVER) {
      return;
    }
    this.#driverWords[word] = value;
  }

  /** The driver's set without bits never offered (BF-FEAT-07: dropped, they never become active). */
  get negotiated(): bigint {
    let features = 0n;
    for (let i = FEATURE_WORDS - 1; i >= 0; i--) {
      features = (features << 32n) | BigInt(this.#driverWords[i] ?? 0);
    }
    return features & this.#offered;
  }

  /** A write to the status register; `done` is called when it has taken effect, perhaps later (reset). */
  writeStatus(value: number, done: () => void): void {
    const wanted = value & 0xff; // MMIO-29: only the low 8 bits matter
    if (wanted === 0) return this.#reset(done);
    this.#advance(wanted);
    done();
  }

  #advance(wanted: number): void {
    if ((this.#status & (FAILED | NEEDS_RESET)) !== 0 || this.#draining !== undefined) {
      this.#status |= wanted & FAILED;
      return;
    }
    const failing = (wanted & FAILED) !== 0;
    // A driver may not clear bits other than by a reset (BF-STAT-11): such a write is ignored whole.
    if (!failing && (this.#status & STEP_BITS & ~wanted) !== 0) return;
    for (const { bit, needs } of STEPS) {
      if ((wanted & bit) === 0 || (this.#status & bit) !== 0) continue;
      if ((this.#status & needs) !== needs) break;
      if (failing && bit >= DRIVER_OK) break; // FEATURES_OK and DRIVER_OK mean nothing to a driver giving up
      if (bit === FEATURES_OK && !this.#featuresAcceptable()) break;
      this.#status |= bit;
      if (bit === DRIVER_OK) this.#activate();
    }
    if (failing) this.#fail();
  }

  #featuresAcceptable(): boolean {
    const features = this.negotiated;
    // We have no legacy interface: a driver that does not know VERSION_1 is refused (BF-FEAT-02).
    return (features & VIRTIO_F_VERSION_1) !== 0n && this.device.acceptFeatures(features);
  }

  #fail(): void {
    this.#status |= FAILED;
    this.#breakOffAll();
  }

  /** Whether the driver may have queues set up now (QueueReady counts after FEATURES_OK only). */
  get queuesConfigurable(): boolean {
    return (this.#status & (FEATURES_OK | FAILED | NEEDS_RESET)) === FEATURES_OK &&
      this.#draining === undefined;
  }

  /** QueueReady := 1. */
  startQueue(index: number): void {
    const config = this.queues[index];
    if (config === undefined || config.ready || !this.queuesConfigurable) return;
    this.#guard(() => {
      const queue = config.activate(this.#host.memory, this.#host.interrupt, this.negotiated);
      this.#running[index] = queue;
      queue.setPolled();
      this.#polls[index] = this.#host.loop.poll(this.#pollOf(queue));
      if ((this.#status & DRIVER_OK) !== 0) this.device.notify(index);
    });
  }

  /** While requests drain the device takes nothing, so there is nothing to look for: `kick` follows the drain. */
  #pollOf(queue: SplitQueue): PollSource {
    return {
      look: () => queue.hasNews && this.#isLive(),
      serve: () => {
        queue.noteTold();
        this.kick(queue.index);
      },
      arm: () => this.#isLive() && queue.armNow(),
    };
  }

  #breakOff(index: number): void {
    this.#polls[index]?.[Symbol.dispose]();
    this.#polls[index] = undefined;
    this.#running[index]?.breakOff();
  }

  #breakOffAll(): void {
    for (let i = 0; i < this.#running.length; i++) this.#breakOff(i);
  }

  /** QueueReady := 0; `done` when no further access to the ring will happen (MMIO-18). */
  stopQueue(index: number, done: () => void): void {
    const config = this.queues[index];
    if (config === undefined || this.#running[index] === undefined) return done();
    this.#drain(() => {
      this.#breakOff(index);
      this.#running[index] = undefined;
      config.stop();
      done();
    });
  }

  /** A kick of queue `index`; void unless the device runs and the queue is ready (MMIO-22). */
  kick(index: number): void {
    if (this.#isLive() && this.#running[index] !== undefined) {
      this.#guard(() => this.device.notify(index));
    }
  }

  #isLive(): boolean {
    return (this.#status & RUNNING_MASK) === DRIVER_OK && this.#draining === undefined &&
      !this.#isDown;
  }

  #activate(): void {
    const life = this.#life;
    const context: ActivationContext = {
      memory: this.#host.memory,
      queues: this.#running,
      features: this.negotiated,
      loop: this.#host.loop,
      notifyLater: (queue) =>
        this.#host.loop.defer(() => {
          if (life === this.#life) this.kick(queue);
        }),
      configChanged: () => {
        // Also while a queue stop waits: the driver is there and wants to know (BF-NOTIF-02).
        if (life === this.#life && (this.#status & RUNNING_MASK) === DRIVER_OK) {
          this.#host.interrupt.config();
        }
      },
      needsReset: (reason) => {
        if (life === this.#life) this.#breakDevice(reason);
      },
    };
    this.#guard(() => {
      this.device.activate(context);
      // Buffers may have been exposed, and kicked for, before DRIVER_OK (BF-STAT-05).
      for (let i = 0; i < this.queues.length && this.#isLive(); i++) {
        if (this.#running[i] !== undefined) this.device.notify(i);
      }
    });
  }

  /** Runs device code; a fault of the driver breaks this device and nothing else. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof DriverFault) && !(error instanceof GuestFault)) throw error;
      this.#breakDevice(error);
    }
  }

  #breakDevice(reason: Error): void {
    if ((this.#status & NEEDS_RESET) !== 0) return;
    this.#status |= NEEDS_RESET;
    this.#breakOffAll();
    this.#host.faulted(reason);
    if ((this.#status & DRIVER_OK) !== 0) this.#host.interrupt.config(); // BF-STAT-07
  }

  #reset(done: () => void): void {
    this.#drain(() => {
      this.#breakOffAll();
      this.#running = [];
      this.#life++;
      this.device.reset();
      for (const queue of this.queues) queue.reset();
      this.#driverWords.fill(0);
      this.#status = 0;
      this.#host.clearInterrupts();
      done();
    });
  }

  /** Finishes requests in flight, then runs `then`. Several callers while draining are served in order. */
  #drain(then: () => void): void {
    if (this.#draining !== undefined) {
      this.#draining.push(then);
      return;
    }
    if ((this.#status & DRIVER_OK) === 0) return then();
    this.#draining = [then];
    this.device.quiesce(() => {
      const waiting = this.#draining ?? [];
      this.#draining = undefined;
      for (const next of waiting) next();
      for (let i = 0; i < this.#running.length; i++) this.kick(i); // queues that go on were held up meanwhile
    });
  }

  /** Finishes requests in flight for good: the machine stops. No reset follows. */
  shutDown(done: () => void): void {
    this.#drain(() => {
      this.#life++; // nothing deferred comes back
      this.#isDown = true;
      done();
    });
  }
}
