/**
 * A disk by plain system calls, for hosts where io_uring is disabled (kernel.io_uring_disabled, seccomp). Each
 * call blocks the I/O thread for as long as the disk takes: correct, and slower for everybody.
 */
import { RWF_DSYNC } from "../../src/abi/linux.ts";
import { allocate, readVectors, syncData, writeVectors } from "../../src/sys/disk_file.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import type { BlockBackend, BlockEvents } from "./backend.ts";
import { DiskBackend, EOPNOTSUPP, PUNCH, zeroingModes } from "./disk_backend.ts";

export class SyncBackend extends DiskBackend implements BlockBackend {
  #events: BlockEvents | undefined;
  /** Results not yet delivered: tag, result, tag, result... */
  #done: number[] = [];

  attach(events: BlockEvents): void {
    this.#events = events;
  }

  read(tag: number, into: IovecList, offset: number): void {
    this.#done.push(tag, readVectors(this.file.fd, into.words, into.count, offset));
  }

  write(tag: number, from: IovecList, offset: number, durable: boolean): void {
    const flags = durable ? RWF_DSYNC : 0;
    this.#done.push(tag, writeVectors(this.file.fd, from.words, from.count, offset, flags));
  }

  flush(tag: number): void {
    this.#done.push(tag, syncData(this.file.fd));
  }

  discard(tag: number, offset: number, length: number): void {
    this.#done.push(tag, allocate(this.file.fd, PUNCH, offset, length));
  }

  writeZeroes(tag: number, offset: number, length: number, mayUnmap: boolean): void {
    const { first, second } = zeroingModes(mayUnmap);
    let result = allocate(this.file.fd, first, offset, length);
    if (result === -EOPNOTSUPP) result = allocate(this.file.fd, second, offset, length);
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
    this.file[Symbol.dispose]();
  }
}
