/** Entropy for tests: predictable bytes, written where the iovecs say, and a tap to turn off. */
import type { EntropyBackend, EntropyEvents } from "../../devices/rng/backend.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import { assert } from "../../src/std/assert.ts";
import type { GuestRam } from "./guest_ram.ts";

export class FakeEntropy implements EntropyBackend {
  /** Bytes `fill` still gives. */
  room = Infinity;
  /** What `fill` answers instead of giving bytes: 0 or less. */
  refusal: number | undefined;
  /** Whether two calls give different bytes; a test that repeats a request wants to know what to expect. */
  varies = true;
  /** What was asked for, call by call. */
  readonly asked: number[] = [];
  readonly #ram: GuestRam;
  #events: EntropyEvents | undefined;
  #next = 1;

  constructor(ram: GuestRam) {
    this.#ram = ram;
  }

  attach(events: EntropyEvents): void {
    assert(this.#events === undefined, "attach is called once");
    this.#events = events;
  }

  fill(into: IovecList): number {
    this.asked.push(into.bytes);
    if (this.refusal !== undefined) return this.refusal;
    const total = Math.min(into.bytes, this.room);
    this.room -= total;
    if (!this.varies) this.#next = 1;
    let left = total;
    for (let i = 0; i < into.count && left > 0; i++) {
      const [low = 0, high = 0, length = 0] = into.words.subarray(4 * i, 4 * i + 3);
      const part = Math.min(length, left);
      const bytes = this.#ram.hostBytes(low + high * 2 ** 32, part);
      for (let at = 0; at < part; at++) bytes[at] = this.#byte();
      left -= part;
    }
    return total;
  }

  /** Never poison, and different from its neighbours. */
  #byte(): number {
    this.#next = this.#next % 150 + 1;
    return this.#next;
  }

  /** There is more again. */
  refill(bytes: number): void {
    this.room += bytes;
    this.#events?.available();
  }

  close(): void {}
}
