/**
 * The virtio-mmio transport, version 2 (spec 4.2): register decoding over `DeviceState`. It knows no device.
 * The machine places it in a window and forwards accesses; kicks arrive by eventfd, see `MMIO_NOTIFY`.
 */
import {
  VIRTIO_MMIO_CONFIG,
  VIRTIO_MMIO_CONFIG_GENERATION,
  VIRTIO_MMIO_DEVICE_FEATURES,
  VIRTIO_MMIO_DEVICE_FEATURES_SEL,
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_DRIVER_FEATURES,
  VIRTIO_MMIO_DRIVER_FEATURES_SEL,
  VIRTIO_MMIO_INTERRUPT_ACK,
  VIRTIO_MMIO_INTERRUPT_STATUS,
  VIRTIO_MMIO_MAGIC,
  VIRTIO_MMIO_MAGIC_VALUE,
  VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
  VIRTIO_MMIO_QUEUE_AVAIL_LOW,
  VIRTIO_MMIO_QUEUE_DESC_HIGH,
  VIRTIO_MMIO_QUEUE_DESC_LOW,
  VIRTIO_MMIO_QUEUE_NOTIFY,
  VIRTIO_MMIO_QUEUE_NUM,
  VIRTIO_MMIO_QUEUE_NUM_MAX,
  VIRTIO_MMIO_QUEUE_READY,
  VIRTIO_MMIO_QUEUE_SEL,
  VIRTIO_MMIO_QUEUE_USED_HIGH,
  VIRTIO_MMIO_QUEUE_USED_LOW,
  VIRTIO_MMIO_SHM_BASE_HIGH,
  VIRTIO_MMIO_SHM_BASE_LOW,
  VIRTIO_MMIO_SHM_LEN_HIGH,
  VIRTIO_MMIO_SHM_LEN_LOW,
  VIRTIO_MMIO_SHM_SEL,
  VIRTIO_MMIO_STATUS,
  VIRTIO_MMIO_VENDOR_ID,
  VIRTIO_MMIO_VERSION,
} from "../src/abi/virtio.ts";
import type { RegisterMirror } from "../src/ipc/register_mirror.ts";
import type { EventLoop, Watch } from "../src/loop/event_loop.ts";
import type { GuestMemory } from "../src/memory/guest_memory.ts";
import type { AccessSize, VirtioDevice } from "../src/virtio/device.ts";
import { DeviceState } from "../src/virtio/device_state.ts";
import type { QueueConfig } from "../src/virtio/queue_config.ts";
import type { MmioInterrupt } from "./mmio_interrupt.ts";
import type { Reply, Transport } from "./transport.ts";

/** "dino" in little-endian ASCII; any constant will do (MMIO-04). */
const VENDOR_ID = 0x6f6e6964;
/** One page: registers at 0, configuration space from 0x100 (MMIO-42). */
export const MMIO_WINDOW_SIZE = 0x1000;
/** Where and how wide a kick is: the machine binds an ioeventfd per queue here, matching the queue's index. */
export const MMIO_NOTIFY = { offset: VIRTIO_MMIO_QUEUE_NOTIFY, length: 4 } as const;
/** A reset that waits for slow requests lets the vCPU go after this long; the status stays non-zero until done. */
const RESET_PATIENCE_MS = 1000;
const ALL_ONES = 0xffff_ffff;
/** Registers that read the same for ever, and those that do not. InterruptStatus is neither: see MmioInterrupt. */
const FIXED_REGISTERS = [
  VIRTIO_MMIO_MAGIC_VALUE,
  VIRTIO_MMIO_VERSION,
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_VENDOR_ID,
  VIRTIO_MMIO_SHM_LEN_LOW,
  VIRTIO_MMIO_SHM_LEN_HIGH,
  VIRTIO_MMIO_SHM_BASE_LOW,
  VIRTIO_MMIO_SHM_BASE_HIGH,
] as const;
const CHANGING_REGISTERS = [
  VIRTIO_MMIO_DEVICE_FEATURES,
  VIRTIO_MMIO_QUEUE_NUM_MAX,
  VIRTIO_MMIO_QUEUE_READY,
  VIRTIO_MMIO_STATUS,
  VIRTIO_MMIO_CONFIG_GENERATION,
] as const;

/** What the machine lends a transport. */
export interface MmioHost {
  readonly memory: GuestMemory;
  readonly loop: EventLoop;
  readonly interrupt: MmioInterrupt;
  /** Where vCPU threads read what `read` would answer. */
  readonly mirror: RegisterMirror;
  /** A driver broke its device; at most one call per life of the device. */
  faulted(reason: Error): void;
}

/** One device's registers. */
export class MmioTransport implements Transport {
  readonly windowSize = MMIO_WINDOW_SIZE;
  readonly #host: MmioHost;
  readonly #device: VirtioDevice;
  readonly #state: DeviceState;
  #deviceFeaturesSel = 0;
  #driverFeaturesSel = 0;
  #queueSel = 0;

  constructor(device: VirtioDevice, host: MmioHost) {
    this.#host = host;
    this.#device = device;
    this.#state = new DeviceState(device, {
      memory: host.memory,
      loop: host.loop,
      interrupt: host.interrupt,
      clearInterrupts: () => host.interrupt.clear(),
      faulted: (reason) => {
        this.#publish(); // NEEDS_RESET is in the status before the interrupt that tells of it
        host.faulted(reason);
      },
    });
    for (const offset of FIXED_REGISTERS) {
      host.mirror.setRegister(offset, this.#readRegister(offset));
    }
    device.config.watch(() => this.#publish());
    this.#publish();
  }

  /** Brings the mirror up to date: whenever a read may have another answer than before. */
  #publish(): void {
    const { mirror } = this.#host;
    const { config } = this.#device;
    const mirrored = config.seesReads ? undefined : config.length;
    mirror.begin(mirrored);
    for (const offset of CHANGING_REGISTERS) mirror.setRegister(offset, this.#readRegister(offset));
    for (let at = 0; at < (mirrored ?? 0); at += 4) mirror.setConfig(at, config.read(at, 4));
    mirror.end();
  }

  get queueCount(): number {
    return this.#state.queues.length;
  }

  kick(queue: number): void {
    this.#state.kick(queue);
  }

  shutDown(done: () => void): void {
    this.#state.shutDown(done);
  }

  read(offset: number, size: AccessSize): number {
    if (offset >= VIRTIO_MMIO_CONFIG) {
      return this.#device.config.read(offset - VIRTIO_MMIO_CONFIG, size);
    }
    // Control registers are 32 bits wide and aligned; anything else reads 0 (MMIO-39, HD-53).
    return size === 4 && (offset & 3) === 0 ? this.#readRegister(offset) >>> 0 : 0;
  }

  #readRegister(offset: number): number {
    switch (offset) {
      case VIRTIO_MMIO_MAGIC_VALUE:
        return VIRTIO_MMIO_MAGIC;
      case VIRTIO_MMIO_VERSION:
        return 2;
      case VIRTIO_MMIO_DEVICE_ID:
        return this.#device.type;
      case VIRTIO_MMIO_VENDOR_ID:
        return VENDOR_ID;
      case VIRTIO_MMIO_DEVICE_FEATURES:
        return this.#state.offeredWord(this.#deviceFeaturesSel);
      case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return this.#queue()?.maxSize ?? 0; // 0: no such queue (MMIO-11)
      case VIRTIO_MMIO_QUEUE_READY:
        return this.#queue()?.ready === true ? 1 : 0;
      case VIRTIO_MMIO_INTERRUPT_STATUS:
        return this.#host.interrupt.status();
      case VIRTIO_MMIO_STATUS:
        return this.#state.status;
      case VIRTIO_MMIO_SHM_LEN_LOW: // no shared memory regions: length and base read all ones (MMIO-33)
      case VIRTIO_MMIO_SHM_LEN_HIGH:
      case VIRTIO_MMIO_SHM_BASE_LOW:
      case VIRTIO_MMIO_SHM_BASE_HIGH:
        return ALL_ONES;
      case VIRTIO_MMIO_CONFIG_GENERATION:
        return this.#device.config.generation;
      default: // write-only, legacy and unassigned offsets (MMIO-40, MMIO-41)
        return 0;
    }
  }

  write(offset: number, size: AccessSize, value: number, reply: Reply): void {
    // What a write changes is there to be read before the vCPU goes on, and once more when a patient one is through.
    this.#write(offset, size, value, {
      done: () => {
        this.#publish();
        reply.done();
      },
    });
  }

  #write(offset: number, size: AccessSize, value: number, reply: Reply): void {
    if (offset >= VIRTIO_MMIO_CONFIG) {
      this.#device.config.write(offset - VIRTIO_MMIO_CONFIG, size, value);
      return reply.done();
    }
    if (size !== 4 || (offset & 3) !== 0) return reply.done();
    if (offset === VIRTIO_MMIO_STATUS) return this.#writeStatus(value, reply);
    if (offset === VIRTIO_MMIO_QUEUE_READY) return this.#writeQueueReady(value, reply);
    this.#writeRegister(offset, value >>> 0);
    reply.done();
  }

  #writeRegister(offset: number, value: number): void {
    switch (offset) {
      case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        this.#deviceFeaturesSel = value;
        return;
      case VIRTIO_MMIO_DRIVER_FEATURES:
        return this.#state.writeDriverWord(this.#driverFeaturesSel, value);
      case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        this.#driverFeaturesSel = value;
        return;
      case VIRTIO_MMIO_QUEUE_SEL:
        this.#queueSel = value;
        return;
      case VIRTIO_MMIO_QUEUE_NUM: {
        const queue = this.#queue();
        if (queue !== undefined) queue.size = value;
        return;
      }
      case VIRTIO_MMIO_QUEUE_DESC_LOW:
        return this.#queue()?.setAddress("desc", "low", value);
      case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        return this.#queue()?.setAddress("desc", "high", value);
      case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
        return this.#queue()?.setAddress("avail", "low", value);
      case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        return this.#queue()?.setAddress("avail", "high", value);
      case VIRTIO_MMIO_QUEUE_USED_LOW:
        return this.#queue()?.setAddress("used", "low", value);
      case VIRTIO_MMIO_QUEUE_USED_HIGH:
        return this.#queue()?.setAddress("used", "high", value);
      case VIRTIO_MMIO_QUEUE_NOTIFY: // usually taken by an ioeventfd before it gets here
        return this.kick(value);
      case VIRTIO_MMIO_INTERRUPT_ACK:
        return this.#host.interrupt.acknowledge(value);
      case VIRTIO_MMIO_SHM_SEL: // there are no regions to select
      default:
        return;
    }
  }

  #queue(): QueueConfig | undefined {
    return this.#state.queues[this.#queueSel];
  }

  #writeStatus(value: number, reply: Reply): void {
    const isReset = (value & 0xff) === 0;
    this.#patiently(reply, (done) =>
      this.#state.writeStatus(value, () => {
        if (isReset) this.#forgetSelections();
        done();
      }));
  }

  #forgetSelections(): void {
    this.#deviceFeaturesSel = 0;
    this.#driverFeaturesSel = 0;
    this.#queueSel = 0;
  }

  #writeQueueReady(value: number, reply: Reply): void {
    if ((value & 1) === 1) {
      this.#state.startQueue(this.#queueSel);
      return reply.done();
    }
    this.#patiently(reply, (done) => this.#state.stopQueue(this.#queueSel, done));
  }

  /** Answers when `work` is done, or after RESET_PATIENCE_MS: a vCPU is never held for ever (BF-RESET-09). */
  #patiently(reply: Reply, work: (done: () => void) => void): void {
    let timer: Watch | undefined;
    let answered = false;
    const answer = () => {
      timer?.[Symbol.dispose]();
      if (answered) return this.#publish(); // the vCPU went on without waiting, and looks at the register
      answered = true;
      reply.done();
    };
    work(answer);
    if (!answered) timer = this.#host.loop.timer(RESET_PATIENCE_MS, { ready: answer });
  }
}
