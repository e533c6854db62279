/** A byte channel that also looks for a dying kernel's words in what the guest writes. */
import type { ByteChannel, ByteChannelEvents } from "../virtio/byte_channel.ts";
import { PanicWatch } from "./panic_watch.ts";

/** Wraps each of a guest's consoles: every one of them may be the one that shows the panic. */
export class WatchedChannel implements ByteChannel {
  readonly #inner: ByteChannel;
  readonly #watch = new PanicWatch();

  constructor(inner: ByteChannel) {
    this.#inner = inner;
  }

  /** See `PanicWatch`. */
  get panic(): string | undefined {
    return this.#watch.panic;
  }

  write(bytes: Uint8Array, length: number): number {
    const taken = this.#inner.write(bytes, length);
    this.#watch.look(bytes, taken);
    return taken;
  }

  read(into: Uint8Array): number {
    return this.#inner.read(into);
  }

  attach(events: ByteChannelEvents): void {
    this.#inner.attach(events);
  }

  guestOpened(open: boolean): void {
    this.#inner.guestOpened(open);
  }
}
