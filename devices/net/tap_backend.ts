/**
 * A tap interface of the host: packets move between its descriptors and the guest's buffers by readv and writev, and
 * the host's network stack does the offloads.
 */
import { EPOLLIN, EPOLLOUT } from "../../src/abi/linux.ts";
import type { EventLoop, Watch, Watcher } from "../../src/loop/event_loop.ts";
import { PacketVectors } from "../../src/sys/packet_vectors.ts";
import { EAGAIN, EBADFD } from "../../src/sys/sys_error.ts";
import { Tap, type TapOptions } from "../../src/sys/tap.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import { ETH_HLEN, virtio_net_hdr_v1, VLAN_TAG_BYTES } from "./abi.ts";
import { type NetBackend, type NetEvents, PREFIX_BYTES } from "./backend.ts";

/** One pair of queues: a descriptor, and what is waited for. */
class TapQueue {
  watch: Watch | undefined;
  listening = false;
  blocked = false;

  get events(): number {
    return (this.listening ? EPOLLIN : 0) | (this.blocked ? EPOLLOUT : 0);
  }
}

export class TapBackend implements NetBackend, Watcher {
  readonly queuePairs: number;
  readonly longestFrame: number;
  readonly sendOffloads: number;
  readonly receiveOffloads: number;
  readonly sendHeader: Uint8Array<ArrayBuffer> = new Uint8Array(virtio_net_hdr_v1.size);
  readonly prefix: Uint8Array<ArrayBuffer> = new Uint8Array(PREFIX_BYTES);
  readonly #loop: EventLoop;
  readonly #tap: Tap;
  readonly #send = new PacketVectors(this.sendHeader);
  readonly #receive = new PacketVectors(this.prefix);
  readonly #queues: readonly TapQueue[];
  readonly #name: string;
  readonly #failed: (message: string) => void;
  #carrier = true;
  #pairsInUse: number;
  #events: NetEvents | undefined;

  /** `failed` is told, in words, when the interface is gone. Throws SysError, with a hint. */
  constructor(
    options: Omit<TapOptions, "headerBytes">,
    loop: EventLoop,
    failed: (message: string) => void,
  ) {
    this.#loop = loop;
    this.#name = options.name;
    this.#failed = failed;
    this.#tap = new Tap({ ...options, headerBytes: virtio_net_hdr_v1.size });
    this.queuePairs = this.#pairsInUse = options.queues;
    this.longestFrame = ETH_HLEN + VLAN_TAG_BYTES + this.#tap.mtu;
    this.sendOffloads = this.receiveOffloads = this.#tap.offloads;
    this.#queues = Array.from({ length: options.queues }, () => new TapQueue());
    this.#queues.forEach((queue, pair) => {
      queue.watch = loop.watch(this.#tap.fd(pair), 0, this, pair);
    });
    this.setQueuePairs(1);
  }

  /** Down once the interface is gone. */
  get carrier(): boolean {
    return this.#carrier;
  }

  attach(events: NetEvents): void {
    this.#events = events;
  }

  #queue(pair: number): TapQueue {
    return this.#queues[pair] as TapQueue; // pairs are ours
  }

  send(pair: number, frame: IovecList): boolean {
    if (!this.#carrier) return true;
    this.#send.load(frame.words, frame.count);
    const sent = this.#send.writeTo(this.#tap.fd(pair));
    if (sent === -EBADFD) this.#lost();
    // Other errors are the packet's (EINVAL) or the interface's (EIO: it is down): lost, as on a cable.
    if (sent !== -EAGAIN) return true;
    const queue = this.#queue(pair);
    queue.blocked = true;
    queue.watch?.update(queue.events);
    return false;
  }

  receive(pair: number, into: IovecList): number {
    if (!this.#carrier) return 0;
    this.#receive.loadForReading(into.words, into.count);
    const length = this.#receive.readFrom(this.#tap.fd(pair));
    if (length >= 0) return length;
    if (length !== -EAGAIN) this.#lost();
    return 0;
  }

  /** The interface was deleted under us: its descriptors report errors for ever, so they are not looked at again. */
  #lost(): void {
    if (!this.#carrier) return;
    this.#carrier = false;
    for (const queue of this.#queues) {
      queue.watch?.[Symbol.dispose]();
      queue.watch = undefined;
    }
    this.#failed(`Tap "${this.#name}" is gone: the link stays down`);
    this.#loop.defer(() => {
      this.#events?.carrierChanged(false);
      this.#queues.forEach((_, pair) => this.#unblock(pair)); // what waited for room is lost now
    });
  }

  #unblock(pair: number): void {
    const queue = this.#queue(pair);
    if (!queue.blocked) return;
    queue.blocked = false;
    queue.watch?.update(queue.events);
    this.#events?.writable(pair);
  }

  listen(pair: number, wanted: boolean): void {
    const queue = this.#queue(pair);
    queue.listening = wanted;
    queue.watch?.update(queue.events);
  }

  ready(events: number, pair: number): void {
    const queue = this.#queue(pair);
    // Of an interface that is gone nothing but EPOLLERR is told: whatever is tried then finds out.
    if ((events & ~EPOLLIN) !== 0) this.#unblock(pair);
    if (queue.listening && (events & ~EPOLLOUT) !== 0) this.#events?.readable(pair);
  }

  setOffloads(offloads: number): void {
    if (this.#carrier && !this.#tap.setOffloads(offloads)) this.#lost();
  }

  setQueuePairs(count: number): void {
    for (; this.#carrier && this.#pairsInUse < count; this.#pairsInUse++) {
      if (!this.#tap.setAttached(this.#pairsInUse, true)) this.#lost();
    }
    for (; this.#carrier && this.#pairsInUse > count; this.#pairsInUse--) {
      if (!this.#tap.setAttached(this.#pairsInUse - 1, false)) this.#lost();
    }
  }

  close(): void {
    for (const queue of this.#queues) queue.watch?.[Symbol.dispose]();
    this.#tap.close();
  }
}
