/**
 * Neighbours as one: a driver that goes through a disk in order asks for each piece behind the one before, and the host
 * is asked for all of them at once. Between a device and its backend; a request without neighbours passes through.
 */
import { IovecList } from "../../src/virtio/iovec_list.ts";
import type { BlockBackend, BlockEvents } from "./backend.ts";

/** A longer one would gain nothing, and keeps the first of its requests waiting for the last. */
export const MERGED_BYTES: number = 2 ** 20;
/** UIO_MAXIOV (include/uapi/linux/uio.h). */
const MERGED_VECTORS = 1024;

/** What is gathered. */
const NOTHING = 0;
const READ = 1;
const WRITE = 2;
const DURABLE_WRITE = 3;
type Kind = typeof NOTHING | typeof READ | typeof WRITE | typeof DURABLE_WRITE;

/** Requests that follow each other, asked of the backend together. */
class Run {
  readonly tags: number[] = [];
  readonly lists: IovecList[] = [];
  /** Of `tags` and `lists`. */
  length = 0;
  kind: Kind = NOTHING;
  offset = 0;
  /** All of it, for the backend. */
  readonly iovecs = new IovecList();

  /** `tag`: what the backend knows it by. */
  constructor(readonly tag: number) {}

  begin(kind: Kind, offset: number): void {
    this.kind = kind;
    this.offset = offset;
    this.length = 0;
    this.iovecs.clear();
  }

  add(tag: number, list: IovecList): void {
    this.tags[this.length] = tag;
    this.lists[this.length++] = list;
    this.iovecs.addFirst(list, list.bytes);
  }
}

export class MergingBackend implements BlockBackend, BlockEvents {
  readonly sectors: number;
  readonly readOnly: boolean;
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
  readonly #backend: BlockBackend;
  readonly #firstTag: number;
  /** By tag, less `#firstTag`. */
  readonly #runs: Run[] = [];
  readonly #idle: Run[] = [];
  #events: BlockEvents | undefined;
  /** Of what was asked last and may get a neighbour: a request alone, or a run of them. */
  #kind: Kind = NOTHING;
  #offset = 0;
  #end = 0;
  #tag = 0;
  #list: IovecList | undefined;
  #run: Run | undefined;

  /** `tags`: the device's are below. */
  constructor(backend: BlockBackend, tags: number) {
    this.#backend = backend;
    this.#firstTag = tags;
    this.sectors = backend.sectors;
    this.readOnly = backend.readOnly;
    this.logicalBlockBytes = backend.logicalBlockBytes;
    this.physicalBlockBytes = backend.physicalBlockBytes;
    this.canDiscard = backend.canDiscard;
    this.canWriteZeroes = backend.canWriteZeroes;
  }

  attach(events: BlockEvents): void {
    this.#events = events;
    this.#backend.attach(this);
  }

  read(tag: number, into: IovecList, offset: number): void {
    this.#gather(READ, tag, into, offset);
  }

  write(tag: number, from: IovecList, offset: number, durable: boolean): void {
    this.#gather(durable ? DURABLE_WRITE : WRITE, tag, from, offset);
  }

  flush(tag: number): void {
    this.#backend.flush(tag);
  }

  discard(tag: number, offset: number, length: number): void {
    this.#backend.discard(tag, offset, length);
  }

  writeZeroes(tag: number, offset: number, length: number, mayUnmap: boolean): void {
    this.#backend.writeZeroes(tag, offset, length, mayUnmap);
  }

  submit(): void {
    this.#ask();
    this.#backend.submit();
  }

  close(): void {
    this.#backend.close();
  }

  #gather(kind: Kind, tag: number, list: IovecList, offset: number): void {
    if (kind === this.#kind && offset === this.#end && this.#append(tag, list)) return;
    this.#ask();
    this.#kind = kind;
    this.#tag = tag;
    this.#list = list;
    this.#offset = offset;
    this.#end = offset + list.bytes;
  }

  /** Whether there was room for it. */
  #append(tag: number, list: IovecList): boolean {
    const first = this.#list as IovecList; // there is one while something is gathered
    const { count } = this.#run?.iovecs ?? first;
    const bytes = this.#end - this.#offset + list.bytes;
    if (bytes > MERGED_BYTES || count + list.count > MERGED_VECTORS) return false;
    if (this.#run === undefined) {
      this.#run = this.#newRun();
      this.#run.begin(this.#kind, this.#offset);
      this.#run.add(this.#tag, first);
    }
    this.#run.add(tag, list);
    this.#end += list.bytes;
    return true;
  }

  #newRun(): Run {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    const run = new Run(this.#firstTag + this.#runs.length);
    this.#runs.push(run); // bounded: each in use has two of the device's tags and more
    return run;
  }

  /** Asks the backend for what has been gathered. */
  #ask(): void {
    const kind = this.#kind;
    if (kind === NOTHING) return;
    const run = this.#run;
    this.#kind = NOTHING;
    this.#run = undefined;
    const tag = run === undefined ? this.#tag : run.tag;
    this.#askFor(kind, tag, run === undefined ? this.#list as IovecList : run.iovecs, this.#offset);
  }

  #askFor(kind: Kind, tag: number, list: IovecList, offset: number): void {
    if (kind === READ) this.#backend.read(tag, list, offset);
    else this.#backend.write(tag, list, offset, kind === DURABLE_WRITE);
  }

  completed(tag: number, result: number): void {
    if (tag < this.#firstTag) this.#events?.completed(tag, result);
    else this.#answer(this.#runs[tag - this.#firstTag] as Run, result);
    this.#ask(); // what it asks for the backend starts by itself, but has to have before this is over
  }

  /** What was moved belongs to the first of the requests; who got nothing, or hears of an error, is asked for alone. */
  #answer(run: Run, result: number): void {
    let { offset } = run;
    let left = Math.max(result, 0);
    for (let i = 0; i < run.length; i++) {
      const tag = run.tags[i] as number;
      const list = run.lists[i] as IovecList;
      const { bytes } = list; // the device shortens the list when only some were moved
      const moved = Math.min(left, bytes);
      left -= moved;
      if (moved > 0) this.#events?.completed(tag, moved);
      else this.#askFor(run.kind, tag, list, offset);
      offset += bytes;
    }
    this.#idle.push(run);
  }

  batchEnd(): void {
    this.#events?.batchEnd();
  }
}
