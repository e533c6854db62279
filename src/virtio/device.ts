/**
 * The contract between virtio devices and what drives them. A device knows guest memory, its queues, an event
 * loop and an interrupt; not its transport, not its address, not its thread (design.md 1).
 */
import type { EventLoop } from "../loop/event_loop.ts";
import type { GuestMemory } from "../memory/guest_memory.ts";
import type { DescriptorChain } from "./chain.ts";

/** How a device reaches its driver. The transport decides whether that is an ISR bit or an MSI-X vector. */
export interface Interrupt {
  /** Queue `index` has used buffers to look at (spec 2.3, 2.7.7). */
  queue(index: number): void;
  /** The configuration space, or the status, has changed. */
  config(): void;
}

/** A virtqueue in operation, from the device's side. */
export interface Virtqueue {
  readonly index: number;
  readonly size: number;
  /** Chains popped and not completed. */
  readonly inFlight: number;
  /** The next chain, or undefined when there is none. Throws DriverFault (loop, bad index, too far ahead). */
  pop(): DescriptorChain | undefined;
  /** Puts back the chain popped last: no capacity now. */
  unpop(chain: DescriptorChain): void;
  /** Hands a chain back, with `used.len` = bytes its writer wrote. Visible to the driver after `flush`. */
  complete(chain: DescriptorChain): void;
  /** Publishes completions, and interrupts if the driver wants it. */
  flush(): void;
  /** Asks the driver not to kick: we are looking. */
  disarm(): void;
  /** Asks for kicks again. True: more has arrived meanwhile, go round again. */
  arm(): boolean;
  /** Never touches the rings again (NEEDS_RESET). */
  breakOff(): void;
}

export type AccessSize = 1 | 2 | 4;

/** A device's configuration space (spec 2.5). Offsets count from its start; values are little-endian. */
export interface ConfigSpace {
  readonly length: number;
  /** Changes whenever two reads could see different versions; never goes back (MMIO-37). */
  readonly generation: number;
  /** Whether the device has to see the driver's reads: no copy of the space may answer them. */
  readonly seesReads: boolean;
  /** Bytes beyond `length` read 0. */
  read(offset: number, size: AccessSize): number;
  /** Ignored where the spec does not let the driver write. */
  write(offset: number, size: AccessSize, value: number): void;
  /** Names the one to call after every change, whoever makes it: copies of the space are kept. Called once. */
  watch(changed: () => void): void;
}

/** Everything a device gets to work with, from DRIVER_OK to reset. */
export interface ActivationContext {
  readonly memory: GuestMemory;
  /** Queues the driver has made ready; the others are undefined, and may come or go at run time. */
  readonly queues: readonly (Virtqueue | undefined)[];
  /** The negotiated features (spec 2.2). */
  readonly features: bigint;
  readonly loop: EventLoop;
  /** Calls `notify(queue)` in a later turn of the loop: there is more to do, and others are waiting. */
  notifyLater(queue: number): void;
  /** The configuration space has changed; its generation already has. */
  configChanged(): void;
  /** The device cannot go on: all queues stop, the driver sees NEEDS_RESET. */
  needsReset(reason: Error): void;
}

/** A virtio device. Its methods are called on one thread, one at a time, and must not block. */
export interface VirtioDevice {
  /** Device id (spec 5). */
  readonly type: number;
  /** Maximum size of each queue; a power of two. */
  readonly queueSizes: readonly number[];
  /** Device-specific feature bits on offer; the ring's own are added by whoever drives the device. */
  readonly features: bigint;
  readonly config: ConfigSpace;
  /** FEATURES_OK with this subset of the offer. False refuses it (spec 2.2.2). */
  acceptFeatures(features: bigint): boolean;
  /** DRIVER_OK. `notify` follows for every ready queue, without a kick. May throw DriverFault. */
  activate(context: ActivationContext): void;
  /** A kick, or "look again". May throw DriverFault. */
  notify(queue: number): void;
  /** Takes no more buffers, finishes those taken, then calls `done` (before reset and when a queue stops). */
  quiesce(done: () => void): void;
  /** Back to power-on state; nothing is in flight. */
  reset(): void;
}

/** For devices without a configuration space. */
export const NO_CONFIG: ConfigSpace = {
  length: 0,
  generation: 0,
  seesReads: false,
  read: () => 0,
  write: () => {},
  watch: () => {},
};
