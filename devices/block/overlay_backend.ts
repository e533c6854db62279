/**
 * Copy on write over two other disks: the base, which is only read, and the scratch, which takes what the guest writes
 * and is gone with the machine. The first write to a cluster copies the rest of it along in one go: what lies before
 * and behind comes from the base, and becomes visible when all of it is in the scratch. Nothing is durable, as nothing
 * outlives the machine: a FLUSH is done at once.
 *
 * A request has one operation with one of the disks at a time. What spans clusters of both kinds ends short, as transfers
 * may, and is asked for again from there.
 */
import { InvariantError } from "../../src/virtio/faults.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import type { BlockBackend, BlockEvents } from "./backend.ts";
import type { ClusterMap } from "./cluster_map.ts";
import type { CopyMemory } from "./copy_memory.ts";

const EIO = 5;

type Kind = "read" | "write" | "zero" | "discard";
/** What a request is doing. */
type Step =
  /** One of the disks transfers the request's own data: its end is the request's. */
  | "transfer"
  /** What lies before the data, then what lies behind, is read from the base. */
  | "before"
  | "behind"
  /** Both and the data are written to the scratch. */
  | "merge"
  /** Whole clusters of the scratch become holes. */
  | "punch"
  /** A part of a cluster of the scratch becomes zeroes. */
  | "clear";

/** A request in flight; one for each of the device's tags. */
class Work {
  kind: Kind = "read";
  step: Step = "transfer";
  /** The driver's buffers; of reads and writes. */
  data: IovecList | undefined;
  /** What is left to do. */
  offset = 0;
  length = 0;
  /** Of these bytes from `offset` on the step is about. */
  part = 0;
  /** Of the operation under way, where they are not the driver's own. */
  readonly iovecs = new IovecList();
  at = 0;
  /** Clusters held, while a step other than `transfer` and `clear` is under way. */
  first = 0;
  last = 0;
  /** The address of the piece of copy memory in use, or 0. */
  copy = 0;
}

export class OverlayBackend implements BlockBackend {
  readonly sectors: number;
  readonly readOnly = false;
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
  readonly #base: BlockBackend;
  readonly #scratch: BlockBackend;
  readonly #map: ClusterMap;
  readonly #memory: CopyMemory;
  readonly #works: Work[] = [];
  /** Tags that wait for a held cluster or for copy memory, the first `#waitingCount`. */
  readonly #waiting: number[] = [];
  #waitingCount = 0;
  /** Tags of requests that are done without an operation, the first `#doneCount`. */
  readonly #done: number[] = [];
  #doneCount = 0;
  #events: BlockEvents | undefined;
  /** One of the disks was asked for something since it last was told to start. */
  #asked = false;
  /** A cluster or memory has become free. */
  #freed = false;
  #delivered = false;
  #submitting = false;

  /** Takes over all four. `scratch` reads as zeroes and is as large as `base`, `map` is empty and made for that size. */
  constructor(base: BlockBackend, scratch: BlockBackend, map: ClusterMap, memory: CopyMemory) {
    this.#base = base;
    this.#scratch = scratch;
    this.#map = map;
    this.#memory = memory;
    this.sectors = base.sectors;
    this.logicalBlockBytes = base.logicalBlockBytes;
    this.physicalBlockBytes = base.physicalBlockBytes;
    this.canDiscard = scratch.canDiscard;
    this.canWriteZeroes = scratch.canDiscard && scratch.canWriteZeroes;
    const events: BlockEvents = {
      completed: (tag, result) => this.#ended(tag, result),
      batchEnd: () => this.submit(),
    };
    base.attach(events);
    scratch.attach(events);
  }

  attach(events: BlockEvents): void {
    this.#events = events;
  }

  read(tag: number, into: IovecList, offset: number): void {
    const work = this.#begin(tag, "read", offset, into.bytes, into);
    const disk = this.#map.isCopied(this.#map.at(offset)) ? this.#scratch : this.#base;
    disk.read(tag, this.#firstOf(work, into, this.#map.alike(offset, into.bytes)), offset);
  }

  write(tag: number, from: IovecList, offset: number, _durable: boolean): void {
    this.#write(tag, this.#begin(tag, "write", offset, from.bytes, from));
  }

  flush(tag: number): void {
    this.#finish(tag);
  }

  discard(tag: number, offset: number, length: number): void {
    this.#clear(tag, this.#begin(tag, "discard", offset, length));
  }

  writeZeroes(tag: number, offset: number, length: number, _mayUnmap: boolean): void {
    this.#clear(tag, this.#begin(tag, "zero", offset, length));
  }

  #begin(tag: number, kind: Kind, offset: number, length: number, data?: IovecList): Work {
    this.#asked = true;
    const work = this.#works[tag] ??= new Work();
    work.kind = kind;
    work.step = "transfer";
    work.data = data;
    work.offset = offset;
    work.length = length;
    return work;
  }

  /** The first `part` bytes of `data`, as a list of their own where that is not all of it. */
  #firstOf(work: Work, data: IovecList, part: number): IovecList {
    if (part === data.bytes) return data;
    work.iovecs.clear();
    work.iovecs.addFirst(data, part);
    return work.iovecs;
  }

  #write(tag: number, work: Work): void {
    const { offset, length, data } = work;
    if (data === undefined) throw new InvariantError("Cannot write nothing to an overlay");
    if (this.#map.isCopied(this.#map.at(offset))) {
      work.step = "transfer";
      const part = this.#map.alike(offset, length);
      this.#scratch.write(tag, this.#firstOf(work, data, part), offset, false);
    } else {
      this.#copy(tag, work, this.#map.free(offset, length));
    }
  }

  /** The next step of a range that is to read as zeroes, or to be given back. */
  #clear(tag: number, work: Work): void {
    const map = this.#map;
    while (work.length > 0) {
      const { offset, length } = work;
      const cluster = map.at(offset);
      if (map.isHeld(cluster)) return this.#wait(tag);
      const whole = map.start(cluster) === offset ? map.whole(offset, length) : 0;
      if (whole > 0) {
        this.#hold(work, whole, "punch");
        return this.#scratch.discard(tag, offset, whole);
      }
      const part = Math.min(length, map.end(cluster) - offset);
      if (map.isCopied(cluster)) {
        work.step = "clear";
        work.part = part;
        return this.#scratch.writeZeroes(tag, offset, part, true);
      }
      if (work.kind === "zero") return this.#copy(tag, work, part);
      // To copy a cluster in order to give a part of it back would take room: it stays as it is, as BLK-20 allows.
      work.offset += part;
      work.length -= part;
    }
    this.#finish(tag);
  }

  /** Brings the clusters of the next `part` bytes, none of them copied, to the scratch with the data in them. */
  #copy(tag: number, work: Work, part: number): void {
    const { offset } = work;
    const map = this.#map;
    if (part === 0) return this.#wait(tag); // the first cluster is held
    const start = map.start(map.at(offset));
    const end = map.end(map.at(offset + part - 1));
    if (start < offset || offset + part < end) {
      work.copy = this.#memory.take();
      if (work.copy === 0) return this.#wait(tag);
    }
    this.#hold(work, part, "before");
    const before = offset - start;
    if (work.first === work.last && work.copy !== 0) { // one call for both sides
      this.#readBase(tag, work, work.copy, start, end - start);
    } else if (before > 0) {
      this.#readBase(tag, work, work.copy, start, before);
    } else {
      this.#readBehind(tag, work);
    }
  }

  #readBehind(tag: number, work: Work): void {
    const from = work.offset + work.part;
    const length = this.#map.end(work.last) - from;
    if (length === 0 || work.first === work.last) return this.#merge(tag, work);
    work.step = "behind";
    this.#readBase(tag, work, work.copy + this.#map.clusterBytes, from, length);
  }

  #readBase(tag: number, work: Work, address: number, offset: number, length: number): void {
    work.at = offset;
    work.iovecs.clear();
    work.iovecs.add(address, length);
    this.#base.read(tag, work.iovecs, offset);
  }

  #merge(tag: number, work: Work): void {
    const { offset, part, data, iovecs, copy, first, last } = work;
    const map = this.#map;
    const start = map.start(first);
    const behind = map.end(last) - offset - part;
    work.step = "merge";
    work.at = start;
    iovecs.clear();
    if (start < offset) iovecs.add(copy, offset - start);
    if (data === undefined) iovecs.add(this.#memory.zeroes, part);
    else iovecs.addFirst(data, part);
    const behindAt = first === last ? offset + part - start : map.clusterBytes;
    if (behind > 0) iovecs.add(copy + behindAt, behind);
    this.#scratch.write(tag, iovecs, start, false);
  }

  /** An operation of a disk has ended. */
  #ended(tag: number, result: number): void {
    const work = this.#works[tag] as Work; // it was asked for with this tag
    this.#asked = true; // whatever comes of it may ask for more
    switch (work.step) {
      case "transfer":
        return this.#deliver(tag, result);
      case "clear":
        return result < 0 ? this.#deliver(tag, result) : this.#advance(tag, work);
      case "punch":
        return this.#letGo(tag, work, result);
      default:
        return this.#goOn(tag, work, result);
    }
  }

  /** A transfer of `before`, `behind` or `merge` has moved `result` bytes. */
  #goOn(tag: number, work: Work, result: number): void {
    const { iovecs, step } = work;
    if (result <= 0) return this.#letGo(tag, work, result === 0 ? -EIO : result);
    if (result < iovecs.bytes) {
      iovecs.advance(result);
      work.at += result;
      if (step === "merge") this.#scratch.write(tag, iovecs, work.at, false);
      else this.#base.read(tag, iovecs, work.at);
    } else if (step === "before") {
      this.#readBehind(tag, work);
    } else if (step === "behind") {
      this.#merge(tag, work);
    } else {
      this.#letGo(tag, work, 0);
    }
  }

  #hold(work: Work, part: number, step: Step): void {
    work.step = step;
    work.part = part;
    work.first = this.#map.at(work.offset);
    work.last = this.#map.at(work.offset + part - 1);
    this.#map.hold(work.first, work.last);
  }

  /** The end of `#hold`: after success the clusters are the scratch's, else all is as it was. */
  #letGo(tag: number, work: Work, result: number): void {
    if (result >= 0) this.#map.setCopied(work.first, work.last);
    this.#map.release(work.first, work.last);
    if (work.copy !== 0) this.#memory.give(work.copy);
    work.copy = 0;
    this.#freed = true;
    if (result < 0) this.#deliver(tag, result);
    else if (work.kind === "write") this.#deliver(tag, work.part);
    else this.#advance(tag, work);
  }

  #advance(tag: number, work: Work): void {
    work.offset += work.part;
    work.length -= work.part;
    this.#clear(tag, work);
  }

  #wait(tag: number): void {
    this.#waiting[this.#waitingCount++] = tag;
  }

  /** Has everybody look again, in the order they came; who has to wait on keeps the place. */
  #retryWaiting(): void {
    const count = this.#waitingCount;
    this.#waitingCount = 0;
    for (let i = 0; i < count; i++) {
      const tag = this.#waiting[i] as number;
      const work = this.#works[tag] as Work; // it waits
      if (work.kind === "write") this.#write(tag, work);
      else this.#clear(tag, work);
    }
  }

  /** For requests that end without a disk: nobody is told from inside a call. */
  #finish(tag: number): void {
    this.#done[this.#doneCount++] = tag;
    this.#asked = true;
  }

  #deliver(tag: number, result: number): void {
    this.#delivered = true;
    this.#events?.completed(tag, result);
  }

  /** Also at the end of each disk's batch: what one has ended may be what the other waits for. */
  submit(): void {
    if (this.#submitting) return; // a loop, however long a chain of steps from one disk to the other is
    this.#submitting = true;
    while (this.#asked) {
      this.#asked = false;
      this.#base.submit();
      this.#scratch.submit();
      this.#deliverDone();
      if (this.#freed) {
        this.#freed = false;
        this.#asked = true;
        this.#retryWaiting();
      }
    }
    this.#submitting = false;
    if (!this.#delivered) return;
    this.#delivered = false;
    this.#events?.batchEnd();
  }

  #deliverDone(): void {
    for (let i = 0; i < this.#doneCount; i++) this.#deliver(this.#done[i] as number, 0); // more may come
    this.#doneCount = 0;
  }

  close(): void {
    this.#base.close();
    this.#scratch.close();
    this.#memory.release();
  }
}
