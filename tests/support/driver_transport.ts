/** What a driver can do through a transport, whichever it is: the seam between mock driver and registers. */
import type { AccessSize } from "../../src/virtio/device.ts";
import type { VirtioDevice } from "../../src/virtio/device.ts";
import type { GuestRam } from "./guest_ram.ts";
import type { InterruptSink } from "./interrupt_sink.ts";
import type { ManualLoop } from "./manual_loop.ts";

/** A register write that may be answered later (reset with requests in flight). */
export interface Posted {
  /** Whether the vCPU may go on. */
  readonly answered: boolean;
}

/** Which area of a queue an address is for. */
export type QueueArea = "desc" | "avail" | "used";

/** One device behind one transport, from the driver's side. Values are what the registers take. */
export interface DriverTransport {
  status(): number;
  writeStatus(value: number): Posted;
  deviceFeatures(word: number): number;
  writeDriverFeatures(word: number, value: number): void;
  /** 0: no such queue. */
  queueMaxSize(queue: number): number;
  queueReady(queue: number): boolean;
  writeQueueSize(queue: number, size: number): void;
  writeQueueAddress(queue: number, area: QueueArea, address: bigint): void;
  enableQueue(queue: number): void;
  disableQueue(queue: number): Posted;
  kick(queue: number): void;
  interruptStatus(): number;
  acknowledge(bits: number): void;
  readConfig(offset: number, size: AccessSize): number;
  writeConfig(offset: number, size: AccessSize, value: number): void;
  configGeneration(): number;
  /** Not the driver: the machine stops. */
  shutDown(done: () => void): void;
}

/** What a device is put into. */
export interface Surroundings {
  readonly ram: GuestRam;
  readonly loop: ManualLoop;
  readonly line: InterruptSink;
  /** Every fault the transport reported. */
  readonly faults: Error[];
}

/** A row of the transport table. */
export interface TransportKind {
  readonly name: string;
  attach(device: VirtioDevice, surroundings: Surroundings): DriverTransport;
}
