/**
 * io_uring with the rings as typed arrays: one `io_uring_enter` per batch, completions read in place.
 * The kernel is the other owner of the rings: it stores `sq.head` and `cq.tail`, we store `sq.tail` and
 * `cq.head`; all four only through Atomics. Used by file backends.
 */
import {
  io_uring_cqe,
  io_uring_params,
  io_uring_sqe,
  IORING_ENTER_GETEVENTS,
  IORING_FEAT_RW_CUR_POS,
  IORING_FEAT_SINGLE_MMAP,
  IORING_OFF_SQ_RING,
  IORING_OFF_SQES,
  IORING_SETUP_COOP_TASKRUN,
  IORING_SETUP_TASKRUN_FLAG,
  IORING_SQ_TASKRUN,
  SYS_io_uring_enter,
  SYS_io_uring_setup,
} from "../abi/linux.ts";
import { type FdNumber, OwnedFd } from "./fd.ts";
import { errno, libc } from "./libc.ts";
import { Mapping } from "./mmap.ts";
import { check, EAGAIN, EINTR, EINVAL, SysError } from "./sys_error.ts";

const EBUSY = 16;
/** Both rings in one mapping (Linux 5.4); and what came with reads and writes without a vector, and fallocate (5.6). */
const NEEDED = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_RW_CUR_POS;
const SQE_WORDS = io_uring_sqe.size / 4;
const CQE_WORDS = io_uring_cqe.size / 4;
const SQE = wordOffsets(io_uring_sqe.at);

function wordOffsets<F extends string>(at: Readonly<Record<F, number>>): Record<F, number> {
  const words = {} as Record<F, number>;
  for (const name of Object.keys(at) as F[]) words[name] = at[name] >> 2;
  return words;
}

/** One completed operation, valid until the next `reap`. */
export interface Completion {
  /** What `push` was given. */
  readonly token: number;
  /** The system call's result; -errno on failure. */
  readonly result: number;
}

/**
 * io_uring_setup(2). Where the kernel can (5.19), what has ended waits until this thread enters the kernel, and a flag in
 * the ring says so: a thread that polls is not interrupted for each completion.
 */
function setUp(entries: number, params: Uint8Array<ArrayBuffer>): number {
  const flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  new DataView(params.buffer).setUint32(io_uring_params.at.flags, flags, true);
  const fd = libc().syscall_setup(SYS_io_uring_setup, entries, params);
  if (fd !== -1 || errno() !== EINVAL) return check(fd, "io_uring_setup");
  params.fill(0);
  return check(libc().syscall_setup(SYS_io_uring_setup, entries, params), "io_uring_setup");
}

/** A submission and completion ring pair. Not shared between isolates. */
export class IoUring implements Disposable {
  readonly #fd: OwnedFd;
  readonly #rings: Mapping;
  readonly #sqeMapping: Mapping;
  readonly #ring: Uint32Array;
  readonly #ringSigned: Int32Array;
  readonly #sqes: Uint32Array;
  readonly #sqHead: number;
  readonly #sqTail: number;
  readonly #sqMask: number;
  readonly #sqFlags: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;
  readonly #enter = libc().syscall_enter;
  readonly #completion = { token: 0, result: 0 };
  /** Ours; the kernel's copy is behind until `submit`, for it looks at no other time. */
  #tail = 0;
  #unsubmitted = 0;
  /** Where the kernel's half of each ring was when we last looked. */
  #seenSqHead = 0;
  #seenCqTail = 0;
  /** Ours; the kernel's copy is behind until all there is has been reaped. */
  #head = 0;

  /** Throws SysError: ENOSYS, or EPERM where kernel.io_uring_disabled or seccomp forbids it. */
  constructor(readonly entries: number) {
    const params = new Uint8Array(io_uring_params.size);
    this.#fd = new OwnedFd(setUp(entries, params));
    const view = new DataView(params.buffer);
    const at = io_uring_params.at;
    const field = (offset: number) => view.getUint32(offset, true);
    if ((field(at.features) & NEEDED) !== NEEDED) {
      this.#fd.close();
      throw new SysError("io_uring_setup", 38, "io_uring needs Linux 5.6 or newer");
    }
    const sqOff = (word: number) => field(at.sq_off + word * 4);
    const cqOff = (word: number) => field(at.cq_off + word * 4);
    // Words of io_sqring_offsets and io_cqring_offsets, in order: head, tail, mask, entries, flags | overflow,
    // dropped | cqes, array.
    const sqEntries = field(at.sq_entries);
    const cqEntries = field(at.cq_entries);
    const ringBytes = Math.max(
      sqOff(6) + sqEntries * 4,
      cqOff(5) + cqEntries * io_uring_cqe.size,
    );
    this.#rings = Mapping.shared(this.#fd.number, ringBytes, IORING_OFF_SQ_RING, "io_uring rings");
    this.#sqeMapping = Mapping.shared(
      this.#fd.number,
      sqEntries * io_uring_sqe.size,
      IORING_OFF_SQES,
      "io_uring entries",
    );
    const buffer = this.#rings.buffer();
    this.#ring = new Uint32Array(buffer, 0, ringBytes >> 2);
    this.#ringSigned = new Int32Array(buffer, 0, ringBytes >> 2);
    this.#sqes = new Uint32Array(this.#sqeMapping.buffer());
    this.#sqHead = sqOff(0) >> 2;
    this.#sqTail = sqOff(1) >> 2;
    this.#sqMask = sqEntries - 1;
    this.#sqFlags = sqOff(4) >> 2;
    this.#cqHead = cqOff(0) >> 2;
    this.#cqTail = cqOff(1) >> 2;
    this.#cqMask = cqEntries - 1;
    this.#cqes = cqOff(5) >> 2;
    const sqArray = sqOff(6) >> 2; // entries are used in their order
    for (let slot = 0; slot < sqEntries; slot++) this.#ring[sqArray + slot] = slot;
  }

  /** Readable (EPOLLIN) while completions wait. */
  get fd(): FdNumber {
    return this.#fd.number;
  }

  /** Whether an entry is free. The kernel frees them in `submit`. */
  #hasRoom(): boolean {
    const entries = this.#sqMask + 1;
    if (((this.#tail - this.#seenSqHead) >>> 0) < entries) return true;
    this.#seenSqHead = Atomics.load(this.#ring, this.#sqHead);
    return ((this.#tail - this.#seenSqHead) >>> 0) < entries;
  }

  /**
   * Queues one operation; false when the ring is full (call `submit`, try again). `offset` and `address` are
   * below 2**53. Memory at `address` stays in place until the completion with `token` (< 2**32) is reaped.
   */
  push(
    opcode: number,
    fd: FdNumber,
    offset: number,
    address: number,
    length: number,
    rwFlags: number,
    token: number,
  ): boolean {
    if (!this.#hasRoom()) return false;
    const base = (this.#tail & this.#sqMask) * SQE_WORDS;
    const sqes = this.#sqes; // all other words stay 0 for ever
    sqes[base + SQE.opcode] = opcode;
    sqes[base + SQE.fd] = fd;
    sqes[base + SQE.off] = offset;
    sqes[base + SQE.off + 1] = offset / 0x1_0000_0000;
    sqes[base + SQE.addr] = address;
    sqes[base + SQE.addr + 1] = address / 0x1_0000_0000;
    sqes[base + SQE.len] = length;
    sqes[base + SQE.rw_flags] = rwFlags;
    sqes[base + SQE.user_data] = token;
    this.#tail = (this.#tail + 1) >>> 0;
    this.#unsubmitted++;
    return true;
  }

  /** Hands everything queued to the kernel, and waits until `waitFor` completions are there. */
  submit(waitFor = 0): void {
    if (this.#unsubmitted > 0) Atomics.store(this.#ring, this.#sqTail, this.#tail);
    while (this.#unsubmitted > 0 || waitFor > 0) {
      const enter = this.#enter;
      const flags = waitFor > 0 ? IORING_ENTER_GETEVENTS : 0;
      const taken = enter(
        SYS_io_uring_enter,
        this.#fd.number,
        this.#unsubmitted,
        waitFor,
        flags,
        null,
        0n,
      );
      if (taken >= 0) {
        this.#unsubmitted -= taken;
        waitFor = 0;
        continue;
      }
      const number = errno();
      if (number === EINTR) continue;
      // The kernel is short of memory or of completion space: reap, and come back with the next submit.
      if (number === EAGAIN || number === EBUSY) return;
      throw new SysError("io_uring_enter", number);
    }
  }

  /** Whether `submit` has to be called again (the kernel could not take everything). */
  get pending(): boolean {
    return this.#unsubmitted > 0;
  }

  /** Whether `reap` has something. No system call. */
  get hasCompletions(): boolean {
    if (this.#head !== this.#seenCqTail) return true;
    this.#seenCqTail = Atomics.load(this.#ring, this.#cqTail);
    return this.#head !== this.#seenCqTail;
  }

  /** Whether `flush` would bring completions. No system call. */
  get hasWork(): boolean {
    return (Atomics.load(this.#ring, this.#sqFlags) & IORING_SQ_TASKRUN) !== 0;
  }

  /** Has the kernel make completions of what has ended: it does not interrupt a thread that runs to do so. */
  flush(): void {
    const enter = this.#enter;
    enter(SYS_io_uring_enter, this.#fd.number, 0, 0, IORING_ENTER_GETEVENTS, null, 0n);
  }

  /**
   * The oldest completion not yet reaped, or undefined. The object is reused by the next call. Entries are the kernel's
   * again once undefined was returned: there are twice as many as operations, so none is missing until then.
   */
  reap(): Completion | undefined {
    const ring = this.#ring;
    if (!this.hasCompletions) {
      if (ring[this.#cqHead] !== this.#head) Atomics.store(ring, this.#cqHead, this.#head);
      return undefined;
    }
    const base = this.#cqes + (this.#head & this.#cqMask) * CQE_WORDS;
    this.#completion.token = ring[base] as number;
    this.#completion.result = this.#ringSigned[base + 2] as number;
    this.#head = (this.#head + 1) >>> 0;
    return this.#completion;
  }

  [Symbol.dispose](): void {
    this.#rings.unmap();
    this.#sqeMapping.unmap();
    this.#fd.close();
  }
}
