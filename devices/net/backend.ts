/**
 * What a virtio-net device needs from the host: a place to put packets and to get them from. Implemented by the
 * `*_backend.ts` files here; called by `transmit.ts`, `receive.ts` and `device.ts`, on the I/O thread.
 */
import type { IovecList } from "../../src/virtio/iovec_list.ts";

// Work that one side leaves to the other, as a set of bits: those of TUNSETOFFLOAD (TUN_F_* of linux/if_tun.h), so
// that they need no translation on their way to a tap.
/** Checksums may be missing; the header says where they go. */
export const OFFLOAD_CSUM = 0x01;
/** TCP segments over IPv4 may be as long as 64 KiB. */
export const OFFLOAD_TSO4 = 0x02;
export const OFFLOAD_TSO6 = 0x04;
/** TCP segments that carry CWR may be among them. */
export const OFFLOAD_ECN = 0x08;
/** UDP datagrams may be several in one packet. */
export const OFFLOAD_USO4 = 0x20;
export const OFFLOAD_USO6 = 0x40;

/** A virtio header, and as much of a frame as is looked at: two addresses, a VLAN tag and the type behind it. */
export const PREFIX_BYTES = 12 + 18;

/**
 * The longest frame without its virtio header (spec 5.1.6.3): an Ethernet header, an IPv6 header and 64 KiB less one.
 */
export const MAX_FRAME_BYTES = 14 + 40 + 65535;

/** Implemented by the device. Called from the loop, never from inside the backend's own methods. */
export interface NetEvents {
  /** `receive` of this pair has something; repeated while it has and is listened to. */
  readable(pair: number): void;
  /** `send` of this pair has room again, after it had none. */
  writable(pair: number): void;
  /** The cable was plugged in or pulled out at the other end. */
  carrierChanged(up: boolean): void;
}

/**
 * A network. Packets come and go one at a time: a header of 12 bytes (`struct virtio_net_hdr_v1`), which the backend
 * may ignore when it can do no offloads, and a frame. Must not block.
 */
export interface NetBackend {
  /** Offloads it takes from the guest: what `send` may be given. */
  readonly sendOffloads: number;
  /** Offloads it can hand to the guest, once `setOffloads` has said so. */
  readonly receiveOffloads: number;
  /** Pairs of queues; packets of one flow stay on one of them. */
  readonly queuePairs: number;
  /**
   * The longest frame to expect, segmented ones aside, in bytes. Should a longer one come, it may be lost, and room is
   * made for all that follow.
   */
  readonly longestFrame: number;
  /** Whether the cable is plugged in at the other end, for now. */
  readonly carrier: boolean;
  /** The header of the packet that `send` is called for, 12 bytes: filled in and checked by the caller. */
  readonly sendHeader: Uint8Array<ArrayBuffer>;
  /** The header of the packet that `receive` got, and the first bytes of its frame: PREFIX_BYTES. */
  readonly prefix: Uint8Array<ArrayBuffer>;
  /** Names the one to tell. Called once, before anything else. */
  attach(events: NetEvents): void;
  /**
   * Sends `sendHeader` and the `frame`, which is not needed any more afterwards. False: no room now, nothing was
   * done, `writable` follows. A packet that the network refuses is lost, as on a cable.
   */
  send(pair: number, frame: IovecList): boolean;
  /**
   * Takes the next packet: its first PREFIX_BYTES go to `prefix`, the rest to `into`. Returns its length, header
   * included. More than PREFIX_BYTES + `into.bytes`: it did not fit, and is lost. 0: there is none.
   */
  receive(pair: number, into: IovecList): number;
  /** Whether `readable` is wanted: not while the guest has no buffers. False at the start. */
  listen(pair: number, wanted: boolean): void;
  /** Offloads the guest takes from now on: a subset of `receiveOffloads`. 0 at the start. */
  setOffloads(offloads: number): void;
  /** How many pairs the guest uses. 1 at the start. */
  setQueuePairs(count: number): void;
  /** Releases everything. */
  close(): void;
}
