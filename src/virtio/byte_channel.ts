/** A two-way stream of bytes with back-pressure: what consoles and serial ports need from the host. */

/** Implemented by the device, called by the channel; on the I/O thread, never from inside `read` or `write`. */
export interface ByteChannelEvents {
  /** `read` has something, after it had nothing. */
  readable(): void;
  /** `write` has room, after it took less than it was offered. */
  writable(): void;
}

/** The host side. Must not block. */
export interface ByteChannel {
  /** Takes up to `length` bytes of `bytes` (a copy: the caller reuses the array) and returns how many. */
  write(bytes: Uint8Array, length: number): number;
  /** Puts waiting bytes into `into` and returns how many; 0 when there are none now. */
  read(into: Uint8Array): number;
  /** Names the one to tell. Called once, before anything else. */
  attach(events: ByteChannelEvents): void;
  /** The guest has opened or closed its end. */
  guestOpened(open: boolean): void;
}
