/**
 * A receive queue (spec 5.1.6.3, 5.1.6.4). Some buffers are taken ahead of packets, so that the kernel can write a
 * packet of any length straight into them: the reserve. The header and the first bytes of the frame come to our own
 * memory first, are checked there, and are copied. Made and called by `device.ts`.
 */
import type { Watch, Watcher } from "../../src/loop/event_loop.ts";
import type { DescriptorChain } from "../../src/virtio/chain.ts";
import type { ActivationContext, Virtqueue } from "../../src/virtio/device.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import { ETH_HLEN, virtio_net_hdr_v1, VLAN_TAG_BYTES } from "./abi.ts";
import { MAX_FRAME_BYTES, type NetBackend, OFFLOAD_CSUM, PREFIX_BYTES } from "./backend.ts";
import { RX_BYTES, RX_DROPPED, RX_PACKETS } from "./counts.ts";
import { isTagged } from "./filter.ts";
import { acceptForReceiving, isSegmented, setBuffers } from "./header.ts";
import type { RateLimit } from "./rate.ts";
import type { NetSettings } from "./settings.ts";

const HEADER_BYTES = virtio_net_hdr_v1.size;
/** Pieces of guest memory in one call; the kernel takes 1024 (UIO_MAXIOV), of which backends need one or two. */
export const MAX_SEGMENTS = 1000;
/** Bytes received in one turn; then others have theirs. */
const TURN_BYTES = 2 ** 20;

export class ReceiveQueue implements Watcher {
  readonly #pair: number;
  readonly #backend: NetBackend;
  readonly #settings: NetSettings;
  readonly #limit: RateLimit | undefined;
  #context: ActivationContext | undefined;
  #pause: Watch | undefined;
  #listening = false;

  /** The reserve: chains popped and not used, oldest first, with their sizes; and their bytes as one list. */
  #chains: DescriptorChain[] = [];
  #sizes: number[] = [];
  #reserved = 0;
  readonly #room = new IovecList(64);
  /** Whether `#room` begins behind the bytes that come by way of `prefix`. */
  #skipped = false;
  /** Most bytes that were ever in the reserve: what the driver's buffers are good for. */
  #mostReserved = 0;

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

  /** Gives the reserve back: the driver stops the queue, or the device (spec 2.7.10 of what was never used). */
  release(): void {
    const queue = this.#queue;
    for (let chain = this.#chains.pop(); chain !== undefined; chain = this.#chains.pop()) {
      queue?.unpop(chain);
    }
    this.#clear();
    this.#listen(false);
  }

  reset(): void {
    this.#context = undefined;
    this.#chains = [];
    this.#clear();
    this.#listen(false);
    this.#pause?.[Symbol.dispose]();
    this.#pause = undefined;
  }

  #clear(): void {
    this.#sizes = [];
    this.#reserved = 0;
    this.#room.clear();
    this.#skipped = false;
    this.#mostReserved = 0;
  }

  get #queue(): Virtqueue | undefined {
    return this.#context?.queues[2 * this.#pair];
  }

  /** The pause that the rate limit asked for is over. */
  ready(): void {
    this.#pause = undefined;
    this.#context?.notifyLater(2 * this.#pair);
  }

  /** Receives what there is, as far as the driver's buffers, the limit and this turn's budget go. */
  run(): void {
    const queue = this.#queue;
    if (queue === undefined || this.#pause !== undefined) return;
    let packets = queue.size;
    let bytes = TURN_BYTES;
    queue.disarm();
    while (packets > 0 && bytes > 0) {
      if (this.#limit !== undefined && this.#limited(this.#limit)) break;
      if (!this.#reserve(queue)) return this.#starve(queue);
      const length = this.#backend.receive(this.#pair, this.#room);
      if (length === 0) {
        this.#listen(true);
        break;
      }
      this.#deliver(queue, length);
      packets--;
      bytes -= length;
    }
    queue.flush();
    if (packets === 0 || bytes <= 0) this.#context?.notifyLater(2 * this.#pair);
  }

  #limited(limit: RateLimit): boolean {
    const loop = this.#context?.loop;
    const delay = loop === undefined ? 0 : limit.delay(loop.now);
    if (delay === 0) return false;
    this.#pause = loop?.timer(delay, this);
    this.#listen(false);
    return true;
  }

  #listen(wanted: boolean): void {
    if (wanted === this.#listening) return;
    this.#listening = wanted;
    this.#backend.listen(this.#pair, wanted);
  }

  /** No buffers: packets wait in the backend, bounded by it, until the driver kicks (NET-40). */
  #starve(queue: Virtqueue): void {
    queue.flush();
    this.#listen(false);
    if (queue.arm()) this.#context?.notifyLater(2 * this.#pair);
  }

  /** Fills the reserve. False: there is not room for the longest packet. */
  #reserve(queue: Virtqueue): boolean {
    if (!this.#settings.mergeable) return this.#reserveOne(queue);
    const needed = this.#longest();
    while (this.#reserved < needed) {
      const chain = queue.pop();
      if (chain === undefined) break;
      this.#keep(queue, chain);
    }
    if (this.#reserved > this.#mostReserved) this.#mostReserved = this.#reserved;
    // A driver whose buffers are not enough for the longest packet gets those that fit. Half of what it once had is
    // waited for, so that the few that are left in a busy moment do not cost a long packet.
    return this.#reserved >= Math.max(PREFIX_BYTES, Math.min(needed, this.#mostReserved / 2)) &&
      this.#skip();
  }

  /** Without MRG_RXBUF a packet has one buffer (NET-27). */
  #reserveOne(queue: Virtqueue): boolean {
    for (let tries = 0; this.#chains.length === 0 && tries < queue.size; tries++) {
      const chain = queue.pop();
      if (chain === undefined) return false;
      if (chain.writer.remaining >= PREFIX_BYTES) this.#keep(queue, chain);
      else queue.complete(chain); // too small for any frame (HD-79)
    }
    return this.#chains.length > 0 && this.#skip();
  }

  #longest(): number {
    const segmented = (this.#settings.receiveOffloads & ~OFFLOAD_CSUM) !== 0;
    if (segmented) return HEADER_BYTES + MAX_FRAME_BYTES;
    const { mtu, longestFrame } = this.#settings;
    const frame = ETH_HLEN + VLAN_TAG_BYTES + mtu;
    return HEADER_BYTES + Math.min(MAX_FRAME_BYTES, longestFrame, frame);
  }

  #keep(queue: Virtqueue, chain: DescriptorChain): void {
    const size = chain.writer.remaining;
    if (size > 0) {
      chain.writer.take(this.#room, size);
      if (this.#room.count <= MAX_SEGMENTS) {
        this.#chains.push(chain);
        this.#sizes.push(size);
        this.#reserved += size;
        return;
      }
      this.#rebuild();
    }
    queue.complete(chain); // nothing to write to, or in more pieces than the kernel takes: back unused (HD-79)
  }

  /** Makes `#room` anew from the reserve. */
  #rebuild(): void {
    this.#room.clear();
    for (const chain of this.#chains) {
      chain.writer.rewind();
      chain.writer.take(this.#room, chain.writer.remaining);
    }
    this.#skipped = false;
    if (this.#reserved >= PREFIX_BYTES) this.#skip();
  }

  #skip(): boolean {
    if (!this.#skipped) this.#room.advance(PREFIX_BYTES);
    this.#skipped = true;
    return true;
  }

  /** A packet of `length` bytes, header included, is in `prefix` and in the reserve. */
  #deliver(queue: Virtqueue, length: number): void {
    const { prefix } = this.#backend;
    const isCut = length > PREFIX_BYTES + this.#room.bytes;
    // Longer than its network said: whoever changed its MTU loses one packet by it. A segment says nothing of the MTU:
    // it was on its way when the driver gave up taking them.
    if (isCut && this.#settings.mergeable && !isSegmented(prefix)) {
      this.#settings.longestFrame = MAX_FRAME_BYTES;
    }
    if (isCut || !this.#wants(prefix, length)) {
      this.#settings.count(RX_DROPPED, 1); // the buffers stay in the reserve: the driver has not seen them
      return;
    }
    this.#limit?.spend(length - HEADER_BYTES);
    this.#settings.count(RX_PACKETS, 1);
    this.#settings.count(RX_BYTES, length - HEADER_BYTES);
    let count = 0;
    let room = 0;
    while (room < length) room += this.#sizes[count++] as number;
    setBuffers(prefix, count);
    this.#complete(queue, length, count);
    this.#reserved -= room;
    this.#skipped = false;
    if (room >= PREFIX_BYTES) this.#room.advance(room - PREFIX_BYTES);
    else this.#rebuild(); // buffers so small that bytes of the prefix would have been in the next one
  }

  #wants(prefix: Uint8Array, length: number): boolean {
    const { linkUp, filter, receiveOffloads, mtu } = this.#settings;
    if (!linkUp || length < HEADER_BYTES + ETH_HLEN || !filter.wants(prefix, HEADER_BYTES)) {
      return false;
    }
    if (!acceptForReceiving(prefix, receiveOffloads)) return false;
    const tag = isTagged(prefix, HEADER_BYTES) ? VLAN_TAG_BYTES : 0;
    return isSegmented(prefix) || length <= HEADER_BYTES + ETH_HLEN + tag + mtu; // NET-07
  }

  /** Hands `count` buffers back: all but the last are full (NET-29), and none is seen before `flush` (NET-30). */
  #complete(queue: Virtqueue, length: number, count: number): void {
    const { prefix } = this.#backend;
    let copied = 0;
    let left = length;
    for (let i = 0; i < count; i++) {
      const chain = this.#chains[i] as DescriptorChain;
      const share = Math.min(this.#sizes[i] as number, left);
      const part = Math.min(share, Math.min(PREFIX_BYTES, length) - copied);
      if (part > 0) {
        chain.writer.rewind();
        chain.writer.bytes(copied === 0 ? prefix : prefix.subarray(copied), part);
        copied += part;
      }
      chain.writer.commit(share - part);
      left -= share;
      queue.complete(chain);
    }
    drop(this.#chains, count);
    drop(this.#sizes, count);
  }
}

/** Removes the first `count` entries; in place, as this is done for every packet. */
function drop(list: unknown[], count: number): void {
  if (count === list.length) { for (let i = 0; i < count; i++) list.pop(); }
  else if (count === 1) list.shift();
  else list.splice(0, count);
}
