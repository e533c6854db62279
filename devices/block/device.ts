/**
 * virtio-block (spec 5.2): requests from one or more equal queues to a backend and back. Data never passes through here: the
 * backend gets the addresses of the driver's own buffers. Owned by the I/O thread.
 */
import { VIRTIO_ID_BLOCK } from "../../src/abi/virtio.ts";
import type { DescriptorChain } from "../../src/virtio/chain.ts";
import { ConfigBytes } from "../../src/virtio/config_bytes.ts";
import { type Counters, NO_COUNTERS } from "../../src/virtio/counters.ts";
import type { ActivationContext, VirtioDevice, Virtqueue } from "../../src/virtio/device.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import {
  BLOCK_CONFIG as CONFIG,
  BLOCK_CONFIG_BYTES,
  REQUEST_HEADER_BYTES,
  SECTOR_BYTES,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_WRITE_ZEROES,
  VIRTIO_BLK_ID_BYTES,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
} from "./abi.ts";
import type { BlockBackend, BlockEvents, DiskOperation } from "./backend.ts";
import { blockFeatures, fillBlockConfig, QUEUE_SIZE } from "./config_space.ts";
import { BlockCounts } from "./counts.ts";
import { type Range, readRanges } from "./ranges.ts";

const EINTR = 4;
const EAGAIN = 11;
const EOPNOTSUPP = 95;
/** A host short of something for a moment is asked again: after this long, and so often that a second passes. */
const RETRY_MS = 10;
const MAX_RETRIES = 100;

/** A backend may copy while it is asked: a millisecond or two of that, then others have their turn. */
const BYTES_PER_TURN = 4 * 2 ** 20;

/** What one request in flight is doing. */
type Stage = "read" | "write" | "flush" | "ranges" | "final-flush";

/** A request in flight. Slots are reused; a slot's index is the backend's tag. */
class Slot {
  chain: DescriptorChain | undefined;
  queue: Virtqueue | undefined;
  stage: Stage = "read";
  readonly iovecs = new IovecList();
  offset = 0;
  /** Bytes of the whole transfer. */
  total = 0;
  durable = false;
  /** The first one is the one under way. */
  ranges: Range[] = [];
  isDiscard = false;
  retries = 0;
}

/** What the host has refused; `errno` 0: a transfer moved nothing at all, the file has become shorter. */
export type DiskFailed = (operation: DiskOperation, errno: number) => void;

export class BlockDevice implements VirtioDevice, BlockEvents {
  readonly type = VIRTIO_ID_BLOCK;
  readonly queueSizes: readonly number[];
  readonly features: bigint;
  readonly config: ConfigBytes;
  readonly #backend: BlockBackend;
  readonly #failed: DiskFailed;
  readonly #counts: BlockCounts;
  readonly #id = new Uint8Array(VIRTIO_BLK_ID_BYTES);
  readonly #slots: Slot[] = [];
  readonly #freeTags: number[] = [];
  #inFlight = 0;
  /** Of this turn. */
  #bytesLeft = 0;
  #context: ActivationContext | undefined;
  #negotiated = 0n;
  #quiesced: (() => void) | undefined;

  /**
   * `id` is what GET_ID answers: ASCII, cut at 20 bytes (BLK-11). `queues` > 1 offers MQ: a driver with as many CPUs
   * has a queue, and its lock, for each (BLK-01). `failed` hears of everything that the driver gets an IOERR for
   * though it asked for nothing wrong.
   */
  constructor(
    backend: BlockBackend,
    id: string,
    queues = 1,
    failed: DiskFailed = () => {},
    counters: Counters = NO_COUNTERS,
  ) {
    this.#backend = backend;
    this.#counts = new BlockCounts(counters);
    this.#failed = failed;
    this.queueSizes = new Array<number>(queues).fill(QUEUE_SIZE);
    new TextEncoder().encodeInto(id, this.#id);
    this.features = blockFeatures(backend, queues);
    this.config = new ConfigBytes(
      BLOCK_CONFIG_BYTES,
      (offset, value) => this.#writeConfig(offset, value),
    );
    this.config.update((view) => fillBlockConfig(view, backend, queues));
    backend.attach(this);
  }

  /** The driver may write one field: `writeback`, once it has negotiated CONFIG_WCE (BLK-07). */
  #writeConfig(offset: number, value: number): void {
    if (offset !== CONFIG.at.wce || value > 1) return;
    if ((this.#negotiated & VIRTIO_BLK_F_CONFIG_WCE) !== 0n) this.config.store(offset, value);
  }

  acceptFeatures(features: bigint): boolean {
    this.#negotiated = features;
    // A driver that cannot flush starts in write-through mode (BLK-05, BLK-33).
    this.config.store(CONFIG.at.wce, (features & VIRTIO_BLK_F_FLUSH) !== 0n ? 1 : 0);
    return true;
  }

  /** Whether a write has to be durable before it completes (BLK-33). */
  get #writeThrough(): boolean {
    return this.config.read(CONFIG.at.wce, 1) === 0;
  }

  activate(context: ActivationContext): void {
    this.#context = context;
  }

  notify(index: number): void {
    const queue = this.#context?.queues[index];
    if (queue === undefined || this.#quiesced !== undefined) return;
    let budget = queue.size; // then others have their turn (HD-05)
    this.#bytesLeft = BYTES_PER_TURN;
    queue.disarm();
    do {
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
        this.#start(queue, chain);
        if (--budget === 0 || this.#bytesLeft <= 0) break;
      }
      this.#backend.submit();
      queue.flush();
    } while (budget > 0 && this.#bytesLeft > 0 && queue.arm());
    if (budget === 0 || this.#bytesLeft <= 0) this.#context?.notifyLater(index);
  }

  #start(queue: Virtqueue, chain: DescriptorChain): void {
    const { reader, writer } = chain;
    // No room for a status, or no whole header: nothing can be said (BLK-44, HD-69).
    if (reader.remaining < REQUEST_HEADER_BYTES || writer.remaining === 0) {
      return queue.complete(chain);
    }
    const type = reader.u32();
    reader.skip(4); // reserved, once ioprio (BLK-42)
    const sectorLow = reader.u32();
    const sectorHigh = reader.u32();
    // Past 2**53 no disk has sectors; doubles are exact below (HD-70).
    const sector = sectorHigh >= 0x20_0000 ? Infinity : sectorHigh * 0x1_0000_0000 + sectorLow;
    switch (type) {
      case VIRTIO_BLK_T_IN:
        return this.#transfer(queue, chain, "read", sector, writer.remaining - 1);
      case VIRTIO_BLK_T_OUT:
        return this.#transfer(queue, chain, "write", sector, reader.remaining);
      case VIRTIO_BLK_T_FLUSH:
        return this.#flush(queue, chain);
      case VIRTIO_BLK_T_GET_ID:
        writer.bytes(this.#id, Math.min(writer.remaining - 1, VIRTIO_BLK_ID_BYTES)); // BLK-12
        return this.#answer(queue, chain, VIRTIO_BLK_S_OK);
      case VIRTIO_BLK_T_DISCARD:
        return this.#changeRanges(queue, chain, VIRTIO_BLK_F_DISCARD);
      case VIRTIO_BLK_T_WRITE_ZEROES:
        return this.#changeRanges(queue, chain, VIRTIO_BLK_F_WRITE_ZEROES);
      default:
        return this.#answer(queue, chain, VIRTIO_BLK_S_UNSUPP); // BLK-27
    }
  }

  #transfer(
    queue: Virtqueue,
    chain: DescriptorChain,
    stage: "read" | "write",
    sector: number,
    length: number,
  ): void {
    const inside = sector + length / SECTOR_BYTES <= this.#backend.sectors;
    if (length % SECTOR_BYTES !== 0 || !inside || (stage === "write" && this.#backend.readOnly)) {
      return this.#answer(queue, chain, VIRTIO_BLK_S_IOERR);
    }
    if (length === 0) return this.#answer(queue, chain, VIRTIO_BLK_S_OK); // BLK-31
    const tag = this.#take(queue, chain, stage);
    const slot = this.#slot(tag);
    slot.offset = sector * SECTOR_BYTES;
    slot.total = length;
    this.#bytesLeft -= length;
    slot.durable = this.#writeThrough;
    (stage === "read" ? chain.writer : chain.reader).take(slot.iovecs, length);
    this.#ask(tag, slot);
  }

  /** Asks the backend for what the slot's stage says. */
  #ask(tag: number, slot: Slot): void {
    switch (slot.stage) {
      case "read":
        return this.#backend.read(tag, slot.iovecs, slot.offset);
      case "write":
        return this.#backend.write(tag, slot.iovecs, slot.offset, slot.durable);
      case "ranges":
        return this.#askForRange(tag, slot);
      case "flush":
      case "final-flush":
        return this.#backend.flush(tag);
    }
  }

  #flush(queue: Virtqueue, chain: DescriptorChain): void {
    if (this.#backend.readOnly) return this.#answer(queue, chain, VIRTIO_BLK_S_OK);
    const tag = this.#take(queue, chain, "flush");
    this.#ask(tag, this.#slot(tag));
  }

  #changeRanges(queue: Virtqueue, chain: DescriptorChain, feature: bigint): void {
    if ((this.#negotiated & feature) === 0n) return this.#answer(queue, chain, VIRTIO_BLK_S_UNSUPP);
    if (this.#backend.readOnly) return this.#answer(queue, chain, VIRTIO_BLK_S_IOERR);
    const isDiscard = feature === VIRTIO_BLK_F_DISCARD;
    const ranges = readRanges(chain.reader, isDiscard, this.#backend.sectors);
    if (typeof ranges === "number") return this.#answer(queue, chain, ranges);
    const tag = this.#take(queue, chain, "ranges");
    const slot = this.#slot(tag);
    slot.ranges = ranges;
    slot.isDiscard = isDiscard;
    this.#askForRange(tag, slot);
  }

  #askForRange(tag: number, slot: Slot): void {
    const [range] = slot.ranges;
    if (range !== undefined && slot.isDiscard) {
      this.#backend.discard(tag, range.offset, range.length);
    } else if (range !== undefined) {
      this.#backend.writeZeroes(tag, range.offset, range.length, range.mayUnmap);
    } else if (this.#writeThrough) {
      slot.stage = "final-flush";
      this.#backend.flush(tag);
    } else {
      this.#finish(tag, slot, VIRTIO_BLK_S_OK);
    }
  }

  #take(queue: Virtqueue, chain: DescriptorChain, stage: Stage): number {
    let tag = this.#freeTags.pop();
    if (tag === undefined) {
      tag = this.#slots.length; // bounded: a queue has at most `size` chains in flight (HD-76)
      this.#slots.push(new Slot());
    }
    const slot = this.#slot(tag);
    slot.queue = queue;
    slot.chain = chain;
    slot.stage = stage;
    slot.retries = 0;
    slot.iovecs.clear();
    this.#inFlight++;
    return tag;
  }

  #slot(tag: number): Slot {
    return this.#slots[tag] as Slot; // tags are ours
  }

  completed(tag: number, result: number): void {
    const slot = this.#slot(tag);
    if (result < 0) return this.#refused(tag, slot, -result);
    if (slot.stage === "ranges") {
      slot.ranges.shift();
      return this.#askForRange(tag, slot);
    }
    if (slot.stage === "read" || slot.stage === "write") {
      if (result < slot.iovecs.bytes) return this.#continue(tag, slot, result);
      if (slot.stage === "read") slot.chain?.writer.commit(slot.total);
    }
    if (slot.stage !== "final-flush") this.#counts.done(slot.stage, slot.total);
    this.#finish(tag, slot, VIRTIO_BLK_S_OK);
  }

  /** A short transfer: goes on where it stopped; no progress at all means the file has shrunk. */
  #continue(tag: number, slot: Slot, moved: number): void {
    if (moved === 0) return this.#fail(tag, slot, 0);
    slot.iovecs.advance(moved);
    slot.offset += moved;
    this.#ask(tag, slot);
  }

  #refused(tag: number, slot: Slot, errno: number): void {
    const { loop } = this.#context ?? {};
    if ((errno === EAGAIN || errno === EINTR) && slot.retries < MAX_RETRIES && loop !== undefined) {
      slot.retries++;
      // In flight all the while, so whoever quiesces the device waits for the end of it.
      loop.timer(RETRY_MS, {
        ready: () => {
          this.#ask(tag, slot);
          this.#backend.submit();
        },
      });
    } else if (slot.stage === "ranges" && errno === EOPNOTSUPP) {
      this.#finish(tag, slot, VIRTIO_BLK_S_UNSUPP);
    } else {
      this.#fail(tag, slot, errno);
    }
  }

  #fail(tag: number, slot: Slot, errno: number): void {
    this.#counts.failed();
    this.#failed(operationOf(slot), errno);
    this.#finish(tag, slot, VIRTIO_BLK_S_IOERR);
  }

  #finish(tag: number, slot: Slot, status: number): void {
    const { queue, chain } = slot;
    slot.queue = undefined;
    slot.chain = undefined;
    this.#freeTags.push(tag);
    this.#inFlight--;
    if (queue !== undefined && chain !== undefined) this.#answer(queue, chain, status);
  }

  /** The status is the last writable byte, wherever that lies (BLK-16). */
  #answer(queue: Virtqueue, chain: DescriptorChain, status: number): void {
    const { writer } = chain;
    writer.skip(writer.remaining - 1);
    writer.u8(status);
    queue.complete(chain);
  }

  batchEnd(): void {
    this.#counts.publish(); // before the driver hears of it: what it then asks for is there
    for (const queue of this.#context?.queues ?? []) queue?.flush();
    if (this.#inFlight === 0) this.#settle();
  }

  /** Whether there are requests that the backend has not ended. */
  get isBusy(): boolean {
    return this.#inFlight > 0;
  }

  quiesce(done: () => void): void {
    this.#quiesced = done;
    this.#backend.submit();
    if (this.#inFlight === 0) this.#settle();
  }

  #settle(): void {
    const done = this.#quiesced;
    this.#quiesced = undefined;
    done?.();
  }

  reset(): void {
    this.#context = undefined;
    this.#negotiated = 0n;
    this.config.store(CONFIG.at.wce, 1);
  }
}

function operationOf({ stage, isDiscard }: Slot): DiskOperation {
  switch (stage) {
    case "read":
    case "write":
      return stage;
    case "ranges":
      return isDiscard ? "discard from" : "zero";
    case "flush":
    case "final-flush":
      return "flush";
  }
}
