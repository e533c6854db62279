/**
 * A disk by plain system calls: for files in memory, where each is a copy, and for hosts where io_uring is disabled
 * (kernel.io_uring_disabled, seccomp). There a call blocks the I/O thread for as long as the disk takes: correct, and
 * slower for everybody.
 */
import { RWF_DSYNC } from "../../src/abi/linux.ts";
import { allocate, readVectors, syncData, writeVectors } from "../../src/sys/disk_file.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import type { BlockBackend, BlockEvents } from "./backend.ts";
import { DiskBackend, EOPNOTSUPP, PUNCH, zeroingModes } from "./disk_backend.ts";

export class SyncBackend extends DiskBackend implements BlockBackend {
  #events: BlockEvents | undefined;
  /** Results not yet delivered, the first `#count` of both. */
  readonly #tags: number[] = [];
  readonly #results: number[] = [];
  #count = 0;

  attach(events: BlockEvents): void {
    this.#events = events;
  }

  read(tag: number, into: IovecList, offset: number): void {
    this.#done(tag, readVectors(this.file.fd, into.words, into.count, offset));
  }

  write(tag: number, from: IovecList, offset: number, durable: boolean): void {
    const flags = durable ? RWF_DSYNC : 0;
    this.#done(tag, writeVectors(this.file.fd, from.words, from.count, offset, flags));
  }

  flush(tag: number): void {
    this.#done(tag, syncData(this.file.fd));
  }

  discard(tag: number, offset: number, length: number): void {
    this.#done(tag, allocate(this.file.fd, PUNCH, offset, length));
  }

  writeZeroes(tag: number, offset: number, length: number, mayUnmap: boolean): void {
    const { first, second } = zeroingModes(mayUnmap);
    let result = allocate(this.file.fd, first, offset, length);
    if (result === -EOPNOTSUPP) result = allocate(this.file.fd, second, offset, length);
    this.#done(tag, result);
  }

  #done(tag: number, result: number): void {
    this.#tags[this.#count] = tag;
    this.#results[this.#count++] = result;
  }

  submit(): void {
    if (this.#count === 0) return;
    for (let i = 0; i < this.#count; i++) { // a completion may start the next step of its request
      this.#events?.completed(this.#tags[i] as number, this.#results[i] as number);
    }
    this.#count = 0;
    this.#events?.batchEnd();
  }

  close(): void {
    this.file[Symbol.dispose]();
  }
}
