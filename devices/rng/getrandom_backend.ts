/** Entropy from getrandom(2), with an optional limit on bytes a second. */
import type { EventLoop, Watch, Watcher } from "../../src/loop/event_loop.ts";
import { fillRandom } from "../../src/sys/random.ts";
import { EAGAIN } from "../../src/sys/sys_error.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import { TokenBucket } from "../../src/virtio/token_bucket.ts";
import type { EntropyBackend, EntropyEvents } from "./backend.ts";

/** A kernel without entropy yet is asked again after this long: only a host that boots is in that state. */
const RETRY_MS = 100;
/** A limited reader gets about this many bytes at a time, rather than be woken for each byte. */
const WORTHWHILE_BYTES = 64;

export class GetrandomBackend implements EntropyBackend, Watcher {
  readonly #loop: EventLoop;
  readonly #bucket: TokenBucket | undefined;
  #events: EntropyEvents | undefined;
  #timer: Watch | undefined;

  /** `bytesPerSecond`: as fast as the kernel makes them when left out. */
  constructor(loop: EventLoop, bytesPerSecond?: number) {
    this.#loop = loop;
    if (bytesPerSecond !== undefined) this.#bucket = new TokenBucket(bytesPerSecond, loop.now);
  }

  attach(events: EntropyEvents): void {
    this.#events = events;
  }

  fill(into: IovecList): number {
    let allowed = into.bytes;
    if (this.#bucket !== undefined) {
      if (this.#timer !== undefined) return 0; // kicks do not shorten the wait
      allowed = this.#bucket.take(into.bytes, this.#loop.now);
      if (allowed === 0) return this.#wait(this.#bucket.delay(WORTHWHILE_BYTES));
    }
    const filled = fillRandom(into.words, into.count, allowed);
    return filled === -EAGAIN ? this.#wait(RETRY_MS) : filled;
  }

  #wait(delayMs: number): number {
    this.#timer ??= this.#loop.timer(delayMs, this);
    return 0;
  }

  /** The wait is over. */
  ready(): void {
    this.#timer = undefined;
    this.#events?.available();
  }

  close(): void {
    this.#timer?.[Symbol.dispose]();
  }
}
