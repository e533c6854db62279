/**
 * A disk behind io_uring: one system call per batch, data moved by the kernel straight between the file and
 * guest RAM. Completions that are ready when `submit` returns (page cache hits) are delivered at once.
 */
import {
  EPOLLIN,
  IORING_FSYNC_DATASYNC,
  IORING_OP_FALLOCATE,
  IORING_OP_FSYNC,
  IORING_OP_READ,
  IORING_OP_READV,
  IORING_OP_WRITE,
  IORING_OP_WRITEV,
  RWF_DSYNC,
} from "../../src/abi/linux.ts";
import type { EventLoop, PollSource, Watch, Watcher } from "../../src/loop/event_loop.ts";
import type { DiskFile } from "../../src/sys/disk_file.ts";
import { IoUring } from "../../src/sys/io_uring.ts";
import { addressOf } from "../../src/sys/libc.ts";
import { InvariantError } from "../../src/virtio/faults.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import type { BlockBackend, BlockEvents } from "./backend.ts";
import { DiskBackend, EOPNOTSUPP, PUNCH, zeroingModes } from "./disk_backend.ts";

/** When the kernel is short of memory for requests: try again after this long. */
const RETRY_MS = 1;

/** A zeroing under way, kept for the second attempt. */
interface Zeroing {
  readonly offset: number;
  readonly length: number;
  /** The mode to try when the first is not supported. */
  readonly otherwise: number;
}

export class UringBackend extends DiskBackend implements BlockBackend, Watcher, PollSource {
  readonly #ring: IoUring;
  readonly #loop: EventLoop;
  readonly #watch: Watch;
  readonly #poll: Watch;
  readonly #zeroings: (Zeroing | undefined)[] = [];
  #events: BlockEvents | undefined;
  #retry: Watch | undefined;

  /**
   * Takes over `file`. `operations`: the most there can be at once, one for each of the device's tags; all of them
   * find room in the ring even when the kernel takes none. Throws SysError where io_uring is not available.
   */
  constructor(file: DiskFile, readOnly: boolean, loop: EventLoop, operations: number) {
    super(file, readOnly);
    this.#ring = new IoUring(operations);
    this.#loop = loop;
    try {
      this.#watch = loop.watch(this.#ring.fd, EPOLLIN, this);
    } catch (error) {
      this.#ring[Symbol.dispose]();
      throw error;
    }
    this.#poll = loop.poll(this);
  }

  attach(events: BlockEvents): void {
    this.#events = events;
  }

  read(tag: number, into: IovecList, offset: number): void {
    this.#transfer(IORING_OP_READ, IORING_OP_READV, offset, into, 0, tag);
  }

  write(tag: number, from: IovecList, offset: number, durable: boolean): void {
    const flags = durable ? RWF_DSYNC : 0;
    this.#transfer(IORING_OP_WRITE, IORING_OP_WRITEV, offset, from, flags, tag);
  }

  /** `one` for a single buffer, which the kernel has no vector to copy for; `many` for several. */
  #transfer(
    one: number,
    many: number,
    offset: number,
    list: IovecList,
    flags: number,
    tag: number,
  ): void {
    if (list.count === 1) this.#push(one, offset, list.address, list.bytes, flags, tag);
    else this.#push(many, offset, addressFor(list), list.count, flags, tag);
  }

  flush(tag: number): void {
    this.#push(IORING_OP_FSYNC, 0, 0, 0, IORING_FSYNC_DATASYNC, tag);
  }

  discard(tag: number, offset: number, length: number): void {
    this.#push(IORING_OP_FALLOCATE, offset, length, PUNCH, 0, tag);
  }

  writeZeroes(tag: number, offset: number, length: number, mayUnmap: boolean): void {
    const { first, second } = zeroingModes(mayUnmap);
    this.#zeroings[tag] = { offset, length, otherwise: second };
    this.#push(IORING_OP_FALLOCATE, offset, length, first, 0, tag);
  }

  #push(
    opcode: number,
    offset: number,
    address: number,
    length: number,
    flags: number,
    tag: number,
  ): void {
    if (this.#ring.push(opcode, this.file.fd, offset, address, length, flags, tag)) return;
    throw new InvariantError(
      "Cannot queue a disk request: more in flight than the ring has entries",
    );
  }

  submit(): void {
    do this.#ring.submit(); while (this.#reap() && this.#ring.pending); // completions may ask for more
    if (this.#ring.pending) this.#retry ??= this.#loop.timer(RETRY_MS, this);
  }

  look(): boolean {
    return this.#ring.hasCompletions || this.#ring.hasWork;
  }

  serve(): void {
    if (!this.#ring.hasCompletions) this.#ring.flush();
    this.ready();
  }

  /** The ring's descriptor is ready whenever there are completions: nothing to ask for. */
  arm(): boolean {
    return this.look();
  }

  /** The ring has completions, or the retry is due. */
  ready(): void {
    this.#retry?.[Symbol.dispose]();
    this.#retry = undefined;
    this.#reap();
    if (this.#ring.pending) this.submit();
  }

  /** Delivers completions; whether there were any. */
  #reap(): boolean {
    let delivered = false;
    for (let c = this.#ring.reap(); c !== undefined; c = this.#ring.reap()) {
      delivered = true;
      // Forgotten whatever the result: the tag's next operation is another one.
      const zeroing = this.#zeroings[c.token];
      this.#zeroings[c.token] = undefined;
      if (c.result === -EOPNOTSUPP && zeroing !== undefined) {
        this.#push(
          IORING_OP_FALLOCATE,
          zeroing.offset,
          zeroing.length,
          zeroing.otherwise,
          0,
          c.token,
        );
        continue;
      }
      this.#events?.completed(c.token, c.result);
    }
    if (delivered) this.#events?.batchEnd();
    return delivered;
  }

  close(): void {
    this.#retry?.[Symbol.dispose]();
    this.#poll[Symbol.dispose]();
    this.#watch[Symbol.dispose]();
    this.#ring[Symbol.dispose]();
    this.file[Symbol.dispose]();
  }
}

/** Looks the address up once per list: it costs two objects. */
function addressFor(list: IovecList): number {
  if (list.wordsAddress === 0) list.wordsAddress = addressOf(list.words);
  return list.wordsAddress;
}
