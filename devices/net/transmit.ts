/**
 * A transmit queue (spec 5.1.6.2): headers are copied, checked and handed over as the copy; frames go from the guest's
 * own buffers to the backend. Made and called by `device.ts`.
 */
import type { Watch, Watcher } from "../../src/loop/event_loop.ts";
import type { DescriptorChain } from "../../src/virtio/chain.ts";
import type { ActivationContext, Virtqueue } from "../../src/virtio/device.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import { virtio_net_hdr_v1 } from "./abi.ts";
import type { NetBackend } from "./backend.ts";
import { TX_BYTES, TX_DROPPED, TX_PACKETS } from "./counts.ts";
import { acceptForSending } from "./header.ts";
import type { RateLimit } from "./rate.ts";
import { MAX_SEGMENTS } from "./receive.ts";
import type { NetSettings } from "./settings.ts";

const HEADER_BYTES = virtio_net_hdr_v1.size;
/** Bytes sent in one turn; then others have theirs (HD-05): 256 packets of 64 KiB would take milliseconds. */
const TURN_BYTES = 2 ** 20;

export class TransmitQueue implements Watcher {
  readonly #pair: number;
  readonly #backend: NetBackend;
  readonly #settings: NetSettings;
  readonly #limit: RateLimit | undefined;
  readonly #frame = new IovecList();
  #context: ActivationContext | undefined;
  /** The backend has no room. */
  #blocked = false;
  /** The rate limit has no room. */
  #pause: Watch | undefined;

  constructor(
    pair: number,
    backend: NetBackend,
    settings: NetSettings,
    limit: RateLimit | undefined,
  ) {
    this.#pair = pair;
    this.#backend = backend;
    this.#settings = settings;
    this.#limit = limit;
  }

  activate(context: ActivationContext): void {
    this.#context = context;
  }

  reset(): void {
    this.#context = undefined;
    this.#blocked = false;
    this.#pause?.[Symbol.dispose]();
    this.#pause = undefined;
  }

  /** The backend has room again. */
  writable(): void {
    this.#blocked = false;
    this.run();
  }

  /** The pause that the rate limit asked for is over. */
  ready(): void {
    this.#pause = undefined;
    this.#context?.notifyLater(2 * this.#pair + 1);
  }

  /** Sends what there is, as far as backend, limit and this turn's budget go. */
  run(): void {
    const index = 2 * this.#pair + 1;
    const queue = this.#context?.queues[index];
    if (queue === undefined || this.#blocked || this.#pause !== undefined) return;
    let packets = queue.size;
    let bytes = TURN_BYTES;
    queue.disarm();
    do {
      while (packets > 0 && bytes > 0) {
        if (this.#limit !== undefined && this.#limited(this.#limit)) return queue.flush();
        const chain = queue.pop();
        if (chain === undefined) break;
        const sent = this.#send(queue, chain);
        if (sent < 0) return queue.flush(); // the backend tells when it has room
        packets--;
        bytes -= sent;
      }
      queue.flush();
    } while (packets > 0 && bytes > 0 && queue.arm());
    if (packets === 0 || bytes <= 0) this.#context?.notifyLater(index);
  }

  #limited(limit: RateLimit): boolean {
    const loop = this.#context?.loop;
    const delay = loop === undefined ? 0 : limit.delay(loop.now);
    if (delay === 0) return false;
    this.#pause = loop?.timer(delay, this);
    return true;
  }

  /** Sends or drops one packet and gives its buffer back. Returns the frame's length; -1: no room, nothing done. */
  #send(queue: Virtqueue, chain: DescriptorChain): number {
    const { reader } = chain;
    const header = this.#backend.sendHeader;
    let length = 0;
    if (this.#settings.linkUp && reader.remaining > HEADER_BYTES) {
      reader.bytes(header, HEADER_BYTES);
      length = reader.remaining;
      if (acceptForSending(header, length, this.#settings.sendOffloads)) {
        const frame = this.#frame;
        frame.clear();
        reader.take(frame, length);
        if (frame.count <= MAX_SEGMENTS) {
          if (this.#backend.send(this.#pair, frame)) return this.#finish(queue, chain, length);
          this.#blocked = true;
          queue.unpop(chain);
          return -1;
        }
      }
    }
    this.#settings.count(TX_DROPPED, 1);
    queue.complete(chain);
    return 0; // a dropped packet costs nobody's bandwidth
  }

  #finish(queue: Virtqueue, chain: DescriptorChain, length: number): number {
    this.#limit?.spend(length);
    this.#settings.count(TX_PACKETS, 1);
    this.#settings.count(TX_BYTES, length);
    queue.complete(chain);
    return length;
  }
}
