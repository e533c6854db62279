/**
 * What a vsock device needs from the host: byte streams to whoever listens there, and from whoever calls the guest. The
 * bytes of a SOCK_SEQPACKET connection are frames (`frame.ts`), both ways.
 */
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import type { VIRTIO_VSOCK_TYPE_SEQPACKET, VIRTIO_VSOCK_TYPE_STREAM } from "./abi.ts";

/** Of a connection: SOCK_STREAM or SOCK_SEQPACKET. */
export type VsockType = typeof VIRTIO_VSOCK_TYPE_STREAM | typeof VIRTIO_VSOCK_TYPE_SEQPACKET;

/** Implemented by a connection; called from the event loop, never from inside a call to the stream. */
export interface HostStreamEvents {
  /** `read` may have something, after it gave less than it could have or NOT_NOW. May come for nothing. */
  readable(): void;
  /** `write` may take something, after it took less than it was offered. */
  writable(): void;
  /** The peer has closed: nobody reads what is written, and nothing comes behind what is there to be read. */
  closed(): void;
}

/** `read` and `write` say so when they would have to wait. */
export const NOT_NOW = -1;
/** `read` and `write` say so when the stream is broken. */
export const BROKEN = -2;

/** The host's end of one connection. Nothing here blocks, and nothing throws. */
export interface HostStream {
  /** Names the one to tell. Called once, before anything else. */
  attach(events: HostStreamEvents): void;
  /** The guest has taken the connection; for a caller on the host `hostPort` is its name. */
  established(hostPort: number): void;
  /** Bytes read into the front of `into`; 0 at the end; NOT_NOW; BROKEN. */
  read(into: IovecList): number;
  /** The same into the front of `into`. */
  readBytes(into: Uint8Array<ArrayBuffer>): number;
  /** Bytes of `from` taken; NOT_NOW; BROKEN. */
  write(from: IovecList): number;
  /** The same from `bytes`[start, end). */
  writeBytes(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): number;
  /** The guest sends no more: the peer reads the end. */
  endOutput(): void;
  /** The guest receives no more: whoever writes is told. */
  endInput(): void;
  /** Whether `closed` has been, or could be, called. */
  readonly peerClosed: boolean;
  /** Lets go of it. No events follow. */
  close(): void;
}

/** Implemented by the device: takes callers of the host. */
export interface VsockHost {
  /**
   * Somebody on the host wants the guest's `port`. False: there is no room, or the driver has not taken the feature of
   * that type; the stream stays the backend's.
   */
  open(stream: HostStream, port: number, type: VsockType): boolean;
}

/** One way into the host. */
export interface VsockBackend {
  /** Names the one to tell. Called once, before anything else. */
  attach(host: VsockHost): void;
  /** The stream to whoever listens on `port` of the host for connections of `type`; undefined when nobody does. */
  connect(port: number, type: VsockType): HostStream | undefined;
  /** Whether there is a driver: only then are callers let in. */
  guestPresent(present: boolean): void;
  close(): void;
}
