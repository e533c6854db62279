/**
 * How a device is made of its configuration, and what it may ask for then. One function per device folder (`make.ts`),
 * collected by `devices/makers.ts` for the I/O thread: nobody else loads what devices are made of.
 */
import type { EventLoop } from "../loop/event_loop.ts";
import type { ByteChannel } from "./byte_channel.ts";
import type { Counters } from "./counters.ts";
import type { VirtioDevice } from "./device.ts";
import type { ChannelConfig } from "./device_kind.ts";

/** What a device may ask of the thread it lives on. */
export interface HostResources {
  readonly loop: EventLoop;
  /** Opens the host end of a byte stream. */
  channel(config: ChannelConfig): ByteChannel;
  /**
   * The machine's owner is told, once for each `message`, that the host refused this device something: what the guest
   * sees of it is the device's affair. Sentence case, no full stop.
   */
  backendFailed(message: string): void;
  /** Where this device tells what it counts. */
  readonly counters: Counters;
  /** The descriptor that the control thread has opened for this device; it stays control's. */
  readonly opened?: number;
  /** Where the machine's owner, in this process, meets the guest's sockets. */
  readonly ownerSocket?: OwnerSocket;
}

/** A name in the abstract namespace that the machine's owner calls, and listens behind (`<name>_<port>`). */
export interface OwnerSocket {
  /** Begins with NUL. */
  readonly path: string;
  /** The owner expects it first from whoever calls it: anybody on the host could. */
  readonly token: Uint8Array<ArrayBuffer>;
}

/** A device that is alive, and how to let go of what it holds. */
export interface LiveDevice {
  readonly device: VirtioDevice;
  /** Called once, when nothing is in flight any more, or will not end in time. */
  close(): void;
  /** Whether the kernel may still read or write guest memory for it; for devices that leave that to the kernel. */
  isBusy?(): boolean;
  /** The user's window has changed; for devices that show one. */
  resize?(columns: number, rows: number): void;
  /** The cable is plugged in or pulled out; for network cards. */
  setLink?(up: boolean): void;
  /** The guest is asked to tell its neighbours where it is; for network cards. */
  announce?(): void;
}

/** Makes a device of `config`, which has been checked, on the I/O thread. Throws when the host refuses after all. */
export type DeviceMaker<C extends { readonly kind: string }> = (
  config: C,
  host: HostResources,
) => LiveDevice;
