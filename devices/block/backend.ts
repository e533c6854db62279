/** What a virtio-block device needs from the host: a range of bytes, read and written asynchronously. */
import type { IovecList } from "../../src/virtio/iovec_list.ts";

/** What is asked of a disk, for people. */
export type DiskOperation = "read" | "write" | "flush" | "discard from" | "zero";

/** Implemented by the device. Called from `submit` or from the loop, never from inside the other calls. */
export interface BlockEvents {
  /**
   * Operation `tag` has ended: bytes moved (perhaps fewer than asked), 0 for the others, or -errno. After EAGAIN and
   * EINTR, which say that nothing was done, it may be asked for again.
   */
  completed(tag: number, result: number): void;
  /** No more `completed` in this turn: time to tell the driver. */
  batchEnd(): void;
}

/**
 * A disk image or device. Offsets and lengths are in bytes and already checked against `sectors`.
 * At most one operation per tag is in flight; the iovecs stay untouched until it completes.
 */
export interface BlockBackend {
  /** Size in units of 512 bytes. */
  readonly sectors: number;
  readonly readOnly: boolean;
  /** Smallest addressable unit in bytes (512 or 4096). */
  readonly logicalBlockBytes: number;
  /** Smallest unit the medium writes without a read first, in bytes. */
  readonly physicalBlockBytes: number;
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
  /** Names the one to tell. Called once, before anything else. */
  attach(events: BlockEvents): void;
  read(tag: number, into: IovecList, offset: number): void;
  /** `durable`: completes only when the data is on the medium. */
  write(tag: number, from: IovecList, offset: number, durable: boolean): void;
  /** Completes when every write completed before is on the medium. */
  flush(tag: number): void;
  discard(tag: number, offset: number, length: number): void;
  writeZeroes(tag: number, offset: number, length: number, mayUnmap: boolean): void;
  /**
   * Starts what was asked since the last call. What `completed` asks for (the rest of a short transfer, the next
   * range, a flush) the backend starts by itself.
   */
  submit(): void;
  /** Releases the file. What is in flight, in a machine that will not wait any longer, is the kernel's from now on. */
  close(): void;
}
