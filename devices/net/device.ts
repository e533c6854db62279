/**
 * virtio-net (spec 5.1): a network card. Negotiation, configuration and link state are here; packets move in
 * `transmit.ts` and `receive.ts`, commands come by `control.ts`. Owned by the I/O thread.
 */
import { VIRTIO_ID_NET } from "../../src/abi/virtio.ts";
import { GuestFault } from "../../src/memory/guest_memory.ts";
import { ConfigBytes } from "../../src/virtio/config_bytes.ts";
import { type Counters, NO_COUNTERS } from "../../src/virtio/counters.ts";
import type { ActivationContext, VirtioDevice } from "../../src/virtio/device.ts";
import { DriverFault } from "../../src/virtio/faults.ts";
import {
  ETH_ALEN,
  NET_CONFIG_BYTES,
  virtio_net_config as CONFIG,
  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
  VIRTIO_NET_F_CTRL_MAC_ADDR,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_RX_EXTRA,
  VIRTIO_NET_F_CTRL_VLAN,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_STATUS,
  VIRTIO_NET_S_ANNOUNCE,
  VIRTIO_NET_S_LINK_UP,
} from "./abi.ts";
import type { NetBackend, NetEvents } from "./backend.ts";
import { RX_DROPPED, TX_DROPPED } from "./counts.ts";
import { ControlQueue, type ControlTarget } from "./control.ts";
import {
  isClosed,
  receiveFeatures,
  receiveOffloads,
  sendFeatures,
  sendOffloads,
} from "./features.ts";
import type { ReceiveFilter } from "./filter.ts";
import { type RateConfig, RateLimit } from "./rate.ts";
import { ReceiveQueue } from "./receive.ts";
import { NetSettings } from "./settings.ts";
import { TransmitQueue } from "./transmit.ts";

/** As many as Linux puts to use; a frame takes one with INDIRECT_DESC or MRG_RXBUF. */
const QUEUE_SIZE = 256;

/** What a card is made of, besides its backend. */
export interface NetSetup {
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** Offered to the driver as VIRTIO_NET_F_MTU. */
  readonly mtu?: number;
  /** Limits from the guest's side: what it sends, what it receives. All pairs share them. */
  readonly sendRate?: RateConfig;
  readonly receiveRate?: RateConfig;
  readonly counters?: Counters;
}

export class NetDevice implements VirtioDevice, NetEvents, ControlTarget {
  readonly type = VIRTIO_ID_NET;
  readonly queueSizes: readonly number[];
  readonly features: bigint;
  readonly config: ConfigBytes;
  readonly maxPairs: number;
  readonly #backend: NetBackend;
  readonly #mac: Uint8Array;
  readonly #mtu: number | undefined;
  readonly #settings = new NetSettings();
  readonly #receive: readonly ReceiveQueue[];
  readonly #transmit: readonly TransmitQueue[];
  readonly #control: ControlQueue;
  readonly #counters: Counters;
  #context: ActivationContext | undefined;
  #negotiated = 0n;
  #pairs = 1;
  /** What the host's user wants; the link is up when the backend's cable is plugged in as well. */
  #wantsLink = true;

  constructor(backend: NetBackend, setup: NetSetup) {
    this.#backend = backend;
    this.#mac = setup.mac.slice(0, ETH_ALEN);
    this.#mtu = setup.mtu;
    this.#counters = setup.counters ?? NO_COUNTERS;
    this.maxPairs = backend.queuePairs;
    this.#settings.longestFrame = backend.longestFrame;
    this.queueSizes = new Array<number>(2 * this.maxPairs + 1).fill(QUEUE_SIZE);
    this.features = offer(backend, setup.mtu !== undefined);
    const pairs = Array.from({ length: this.maxPairs }, (_, pair) => pair);
    const sendLimit = RateLimit.of(setup.sendRate);
    const receiveLimit = RateLimit.of(setup.receiveRate);
    this.#transmit = pairs.map((pair) =>
      new TransmitQueue(pair, backend, this.#settings, sendLimit)
    );
    this.#receive = pairs.map((pair) =>
      new ReceiveQueue(pair, backend, this.#settings, receiveLimit)
    );
    this.#control = new ControlQueue(this);
    this.config = new ConfigBytes(NET_CONFIG_BYTES); // read-only, the address as well (NET-12)
    this.config.update((view) => {
      view.setUint16(CONFIG.at.max_virtqueue_pairs, this.maxPairs, true);
      if (setup.mtu !== undefined) view.setUint16(CONFIG.at.mtu, setup.mtu, true);
    });
    backend.attach(this);
    this.setAddress(this.#mac);
    this.#updateLink();
  }

  get filter(): ReceiveFilter {
    return this.#settings.filter;
  }

  /** ControlTarget. */
  get negotiated(): bigint {
    return this.#negotiated;
  }

  /** Packets lost since the device was made. */
  get drops(): { readonly sent: number; readonly received: number } {
    const { counts } = this.#settings;
    return { sent: counts[TX_DROPPED] as number, received: counts[RX_DROPPED] as number };
  }

  acceptFeatures(features: bigint): boolean {
    if (!isClosed(features)) return false; // NET-02
    this.#negotiated = features;
    return true;
  }

  activate(context: ActivationContext): void {
    this.#context = context;
    this.#negotiated = context.features;
    const settings = this.#settings;
    settings.sendOffloads = sendOffloads(context.features);
    settings.mergeable = this.#has(VIRTIO_NET_F_MRG_RXBUF);
    settings.mtu = this.#has(VIRTIO_NET_F_MTU) ? this.#mtu ?? Infinity : Infinity;
    settings.filter.reset(this.#has(VIRTIO_NET_F_CTRL_RX), this.#has(VIRTIO_NET_F_CTRL_VLAN));
    this.#applyReceiveOffloads(receiveOffloads(context.features)); // all on from the start (NETC-20)
    for (const queue of this.#transmit) queue.activate(context);
    for (const queue of this.#receive) queue.activate(context);
  }

  #has(feature: bigint): boolean {
    return (this.#negotiated & feature) !== 0n;
  }

  /** Behind the last pair the driver knows of (NET-01); -1 without one. */
  get #controlIndex(): number {
    if (!this.#has(VIRTIO_NET_F_CTRL_VQ)) return -1;
    return this.#has(VIRTIO_NET_F_MQ) ? 2 * this.maxPairs : 2;
  }

  notify(index: number): void {
    if (index === this.#controlIndex) return this.#command(index);
    const pair = index >>> 1;
    if (pair >= this.#pairs) return; // not in use (NETC-16, NETC-18)
    if ((index & 1) === 0) this.#receive[pair]?.run();
    else this.#transmit[pair]?.run();
    this.#counters.publish(this.#settings.counts);
  }

  #command(index: number): void {
    const queue = this.#context?.queues[index];
    if (queue === undefined || this.#control.run(queue)) return;
    this.#context?.notifyLater(index);
  }

  /** NetEvents. Packets for a device that has no driver wait in the backend. */
  readable(pair: number): void {
    this.#guarded(2 * pair, () => this.#receive[pair]?.run());
  }

  /** NetEvents. */
  writable(pair: number): void {
    this.#guarded(2 * pair + 1, () => this.#transmit[pair]?.writable());
  }

  /** A fault of the driver that is met outside of `notify` breaks this device and nothing else. */
  #guarded(index: number, work: () => void): void {
    const context = this.#context;
    if (context?.queues[index] === undefined) return;
    try {
      work();
      this.#counters.publish(this.#settings.counts);
    } catch (error) {
      if (!(error instanceof DriverFault) && !(error instanceof GuestFault)) throw error;
      context.needsReset(error);
    }
  }

  /** NetEvents. */
  carrierChanged(): void {
    this.#updateLink();
  }

  /** Plugs the guest's cable in, or pulls it out. Packets on their way are lost, as they are on a cable. */
  setLink(up: boolean): void {
    this.#wantsLink = up;
    this.#updateLink();
  }

  /** Asks the guest to tell its neighbours where it is, as after a migration (spec 5.1.6.5.4). */
  announce(): void {
    if (!this.#has(VIRTIO_NET_F_GUEST_ANNOUNCE) || !this.#settings.linkUp) return;
    this.#setStatus(VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
  }

  /** ControlTarget: the guest has done so (NETC-15). */
  announced(): void {
    this.config.update((view) =>
      view.setUint16(
        CONFIG.at.status,
        view.getUint16(CONFIG.at.status, true) & ~VIRTIO_NET_S_ANNOUNCE,
        true,
      )
    );
  }

  #updateLink(): void {
    const up = this.#wantsLink && this.#backend.carrier;
    const isUp = this.config.read(CONFIG.at.status, 2) !== 0;
    this.#settings.linkUp = up;
    if (up !== isUp) this.#setStatus(up ? VIRTIO_NET_S_LINK_UP : 0);
  }

  #setStatus(status: number): void {
    this.config.update((view) => view.setUint16(CONFIG.at.status, status, true));
    if (this.#has(VIRTIO_NET_F_STATUS)) this.#context?.configChanged(); // NET-04
  }

  /** ControlTarget. */
  setAddress(mac: Uint8Array): void {
    this.#settings.filter.setOwn(mac);
    this.config.update((view) => mac.forEach((byte, i) => view.setUint8(CONFIG.at.mac + i, byte)));
  }

  /** ControlTarget: nothing goes to receive queues above the new count from now on (NETC-18). */
  setQueuePairs(count: number): void {
    for (const queue of this.#receive.slice(count)) queue.release();
    this.#pairs = count;
    this.#backend.setQueuePairs(count);
    for (let pair = 0; pair < count; pair++) {
      this.#context?.notifyLater(2 * pair);
      this.#context?.notifyLater(2 * pair + 1);
    }
  }

  /** ControlTarget: a queue that waits for room for the longest packet may have room for what is now the longest. */
  setReceiveOffloads(offloads: number): void {
    this.#applyReceiveOffloads(offloads);
    for (let pair = 0; pair < this.#pairs; pair++) this.#context?.notifyLater(2 * pair);
  }

  #applyReceiveOffloads(offloads: number): void {
    this.#settings.receiveOffloads = offloads;
    this.#backend.setOffloads(offloads);
  }

  quiesce(done: () => void): void {
    for (const queue of this.#receive) queue.release();
    done(); // packets that are sent are sent at once: nothing else is in flight
  }

  reset(): void {
    this.#context = undefined;
    this.#negotiated = 0n;
    this.#pairs = 1;
    for (const queue of this.#transmit) queue.reset();
    for (const queue of this.#receive) queue.reset();
    this.#backend.setQueuePairs(1);
    this.#applyReceiveOffloads(0);
    this.setAddress(this.#mac); // what the driver set is forgotten, as it is by every card
    this.announced();
  }
}

/** What a card in front of `backend` offers; offloads only as far as the backend has them (NET-42). */
function offer(backend: NetBackend, hasMtu: boolean): bigint {
  return VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_CTRL_VQ |
    VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_CTRL_RX_EXTRA | VIRTIO_NET_F_CTRL_VLAN |
    VIRTIO_NET_F_CTRL_MAC_ADDR | VIRTIO_NET_F_GUEST_ANNOUNCE |
    (hasMtu ? VIRTIO_NET_F_MTU : 0n) |
    (backend.queuePairs > 1 ? VIRTIO_NET_F_MQ : 0n) |
    (backend.receiveOffloads !== 0 ? VIRTIO_NET_F_CTRL_GUEST_OFFLOADS : 0n) |
    sendFeatures(backend.sendOffloads) | receiveFeatures(backend.receiveOffloads);
}
