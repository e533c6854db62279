/**
 * A disk by plain system calls, for hosts where io_uring is disabled (kernel.io_uring_disabled, seccomp). Each
 * call blocks the I/O thread for as long as the disk takes: correct, and slower for everybody.
 */
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  RWF_DSYNC,
} from "../../src/abi/linux.ts";
import {
  allocate,
  type DiskFile,
  readVectors,
  syncData,
  writeVectors,
} from "../../src/sys/disk_file.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import { SECTOR_BYTES } from "./abi.ts";
import type { BlockBackend, BlockEvents } from "./backend.ts";

const EOPNOTSUPP = 95;
const PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
const ZERO = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

export class SyncBackend implements BlockBackend {
  readonly sectors: number;
  readonly readOnly: boolean;
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
  readonly #file: DiskFile;
  #events: BlockEvents | undefined;
  /** Results not yet delivered: tag, result, tag, result... */
  #done: number[] = [];

  /** Takes over `file`. */
  constructor(file: DiskFile, readOnly: boolean) {
    this.#file = file;
    this.sectors = Math.floor(file.bytes / SECTOR_BYTES);
    this.readOnly = readOnly;
    this.logicalBlockBytes = file.logicalBlockBytes;
    this.physicalBlockBytes = file.physicalBlockBytes;
    this.canDiscard = file.canPunch;
    this.canWriteZeroes = file.canPunch;
  }

  attach(events: BlockEvents): void {
    this.#events = events;
  }

  read(tag: number, into: IovecList, offset: number): void {
    this.#done.push(tag, readVectors(this.#file.fd, into.words, into.count, offset));
  }

  write(tag: number, from: IovecList, offset: number, durable: boolean): void {
    const flags = durable ? RWF_DSYNC : 0;
    this.#done.push(tag, writeVectors(this.#file.fd, from.words, from.count, offset, flags));
  }

  flush(tag: number): void {
    this.#done.push(tag, syncData(this.#file.fd));
  }

  discard(tag: number, offset: number, length: number): void {
    this.#done.push(tag, allocate(this.#file.fd, PUNCH, offset, length));
  }

  writeZeroes(tag: number, offset: number, length: number, mayUnmap: boolean): void {
    let result = allocate(this.#file.fd, mayUnmap ? PUNCH : ZERO, offset, length);
    if (result === -EOPNOTSUPP) {
      result = allocate(this.#file.fd, mayUnmap ? ZERO : PUNCH, offset, length);
    }
    this.#done.push(tag, result);
  }

  submit(): void {
    const delivered = this.#done.length > 0;
    while (this.#done.length > 0) { // a completion may start the next step of its request
      const done = this.#done;
      this.#done = [];
      for (let i = 0; i < done.length; i += 2) {
        this.#events?.completed(done[i] as number, done[i + 1] as number);
      }
    }
    if (delivered) this.#events?.batchEnd();
  }

  close(): void {
    this.#file[Symbol.dispose]();
  }
}
