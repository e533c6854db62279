/** What a virtio-rng device needs from the host: random bytes, and a word when there are some again. */
import type { IovecList } from "../../src/virtio/iovec_list.ts";

/** Implemented by the device; called from the loop, never from inside `fill`. */
export interface EntropyEvents {
  /** `fill` has bytes again, after it had none. */
  available(): void;
}

/** A source of bytes fit for keys. */
export interface EntropyBackend {
  /** Names the one to tell. Called once, before anything else. */
  attach(events: EntropyEvents): void;
  /**
   * Puts random bytes into the front of `into` and returns how many: fewer than asked for under a rate limit, 0 when
   * there are none now and `available` will follow, -errno when there never will be any.
   */
  fill(into: IovecList): number;
  /** Calls `available` no more. */
  close(): void;
}
