/** The driver's end of virtio-mmio: nothing but register accesses, as Linux makes them. */
import {
  VIRTIO_MMIO_CONFIG,
  VIRTIO_MMIO_CONFIG_GENERATION,
  VIRTIO_MMIO_DEVICE_FEATURES,
  VIRTIO_MMIO_DEVICE_FEATURES_SEL,
  VIRTIO_MMIO_DRIVER_FEATURES,
  VIRTIO_MMIO_DRIVER_FEATURES_SEL,
  VIRTIO_MMIO_INTERRUPT_ACK,
  VIRTIO_MMIO_INTERRUPT_STATUS,
  VIRTIO_MMIO_QUEUE_AVAIL_LOW,
  VIRTIO_MMIO_QUEUE_DESC_LOW,
  VIRTIO_MMIO_QUEUE_NOTIFY,
  VIRTIO_MMIO_QUEUE_NUM,
  VIRTIO_MMIO_QUEUE_NUM_MAX,
  VIRTIO_MMIO_QUEUE_READY,
  VIRTIO_MMIO_QUEUE_SEL,
  VIRTIO_MMIO_QUEUE_USED_LOW,
  VIRTIO_MMIO_STATUS,
} from "../../src/abi/virtio.ts";
import { MIRROR_WORDS, NOT_MIRRORED, RegisterMirror } from "../../src/ipc/register_mirror.ts";
import { assertEquals } from "../../src/std/assert.ts";
import type { AccessSize, VirtioDevice } from "../../src/virtio/device.ts";
import { MmioTransport } from "../../transports/mmio.ts";
import { MmioInterrupt } from "../../transports/mmio_interrupt.ts";
import type { Transport } from "../../transports/transport.ts";
import type {
  DriverTransport,
  Posted,
  QueueArea,
  Surroundings,
  TransportKind,
} from "./driver_transport.ts";

const LOW_HALVES: Record<QueueArea, number> = {
  desc: VIRTIO_MMIO_QUEUE_DESC_LOW,
  avail: VIRTIO_MMIO_QUEUE_AVAIL_LOW,
  used: VIRTIO_MMIO_QUEUE_USED_LOW,
};

/**
 * Registers of one device. `read` and `write` are public: some cases are about the registers themselves. Every read
 * of every case is made twice: from the registers and, as a vCPU does it, from their mirror, unless the device wants to
 * see its configuration being read.
 */
export class MmioDriver implements DriverTransport {
  readonly #device: VirtioDevice;

  constructor(
    device: VirtioDevice,
    readonly registers: Transport,
    readonly mirror: RegisterMirror,
  ) {
    this.#device = device;
  }

  read(offset: number, size: AccessSize = 4): number {
    const value = this.registers.read(offset, size);
    // A vCPU reads InterruptStatus from where the interrupt is raised.
    if (offset === VIRTIO_MMIO_INTERRUPT_STATUS) return value;
    const mirrored = this.mirror.read(offset, size);
    const isSeen = offset >= VIRTIO_MMIO_CONFIG && this.#device.config.seesReads;
    const expected = isSeen ? NOT_MIRRORED : value;
    assertEquals(mirrored, expected, `mirror of ${size} bytes at 0x${offset.toString(16)}`);
    return value;
  }

  write(offset: number, value: number, size: AccessSize = 4): Posted {
    const posted = { answered: false };
    this.registers.write(offset, size, value >>> 0, {
      done: () => {
        posted.answered = true;
      },
    });
    return posted;
  }

  status(): number {
    return this.read(VIRTIO_MMIO_STATUS);
  }

  writeStatus(value: number): Posted {
    return this.write(VIRTIO_MMIO_STATUS, value);
  }

  deviceFeatures(word: number): number {
    this.write(VIRTIO_MMIO_DEVICE_FEATURES_SEL, word);
    return this.read(VIRTIO_MMIO_DEVICE_FEATURES);
  }

  writeDriverFeatures(word: number, value: number): void {
    this.write(VIRTIO_MMIO_DRIVER_FEATURES_SEL, word);
    this.write(VIRTIO_MMIO_DRIVER_FEATURES, value);
  }

  queueMaxSize(queue: number): number {
    this.write(VIRTIO_MMIO_QUEUE_SEL, queue);
    return this.read(VIRTIO_MMIO_QUEUE_NUM_MAX);
  }

  queueReady(queue: number): boolean {
    this.write(VIRTIO_MMIO_QUEUE_SEL, queue);
    return this.read(VIRTIO_MMIO_QUEUE_READY) === 1;
  }

  writeQueueSize(queue: number, size: number): void {
    this.write(VIRTIO_MMIO_QUEUE_SEL, queue);
    this.write(VIRTIO_MMIO_QUEUE_NUM, size);
  }

  writeQueueAddress(queue: number, area: QueueArea, address: bigint): void {
    this.write(VIRTIO_MMIO_QUEUE_SEL, queue);
    this.write(LOW_HALVES[area], Number(address & 0xffff_ffffn));
    this.write(LOW_HALVES[area] + 4, Number((address >> 32n) & 0xffff_ffffn));
  }

  enableQueue(queue: number): void {
    this.write(VIRTIO_MMIO_QUEUE_SEL, queue);
    this.write(VIRTIO_MMIO_QUEUE_READY, 1);
  }

  disableQueue(queue: number): Posted {
    this.write(VIRTIO_MMIO_QUEUE_SEL, queue);
    return this.write(VIRTIO_MMIO_QUEUE_READY, 0);
  }

  kick(queue: number): void {
    this.write(VIRTIO_MMIO_QUEUE_NOTIFY, queue);
  }

  interruptStatus(): number {
    return this.read(VIRTIO_MMIO_INTERRUPT_STATUS);
  }

  acknowledge(bits: number): void {
    this.write(VIRTIO_MMIO_INTERRUPT_ACK, bits);
  }

  readConfig(offset: number, size: AccessSize): number {
    return this.read(VIRTIO_MMIO_CONFIG + offset, size);
  }

  writeConfig(offset: number, size: AccessSize, value: number): void {
    this.write(VIRTIO_MMIO_CONFIG + offset, value, size);
  }

  configGeneration(): number {
    return this.read(VIRTIO_MMIO_CONFIG_GENERATION);
  }

  shutDown(done: () => void): void {
    this.registers.shutDown(done);
  }
}

/** Puts a device behind virtio-mmio. */
export function attachMmio(device: VirtioDevice, surroundings: Surroundings): MmioDriver {
  const { ram, loop, line, faults } = surroundings;
  const words = new Int32Array(new SharedArrayBuffer(4 * (1 + MIRROR_WORDS)));
  const mirror = new RegisterMirror(words, 1);
  return new MmioDriver(
    device,
    new MmioTransport(device, {
      memory: ram.memory,
      loop,
      interrupt: new MmioInterrupt(words, 0, line),
      mirror,
      faulted: (reason) => faults.push(reason),
    }),
    mirror,
  );
}

export const MMIO: TransportKind = { name: "mmio", attach: attachMmio };
