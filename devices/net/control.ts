/**
 * The control queue (spec 5.1.6.5): commands that set the receive filter, the address, the queues in use and the
 * offloads. A command is copied as it is read; its answer is one byte. Made and called by `device.ts`.
 */
import type { ChainReader } from "../../src/virtio/chain.ts";
import type { Virtqueue } from "../../src/virtio/device.ts";
import {
  ETH_ALEN,
  VIRTIO_NET_CTRL_ANNOUNCE,
  VIRTIO_NET_CTRL_ANNOUNCE_ACK,
  VIRTIO_NET_CTRL_GUEST_OFFLOADS,
  VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
  VIRTIO_NET_CTRL_MAC,
  VIRTIO_NET_CTRL_MAC_ADDR_SET,
  VIRTIO_NET_CTRL_MAC_TABLE_SET,
  VIRTIO_NET_CTRL_MQ,
  VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
  VIRTIO_NET_CTRL_RX,
  VIRTIO_NET_CTRL_RX_ALLMULTI,
  VIRTIO_NET_CTRL_RX_ALLUNI,
  VIRTIO_NET_CTRL_RX_NOBCAST,
  VIRTIO_NET_CTRL_RX_NOMULTI,
  VIRTIO_NET_CTRL_RX_NOUNI,
  VIRTIO_NET_CTRL_RX_PROMISC,
  VIRTIO_NET_CTRL_VLAN,
  VIRTIO_NET_CTRL_VLAN_ADD,
  VIRTIO_NET_CTRL_VLAN_DEL,
  VIRTIO_NET_ERR,
  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
  VIRTIO_NET_F_CTRL_MAC_ADDR,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_RX_EXTRA,
  VIRTIO_NET_F_CTRL_VLAN,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_OK,
  VLAN_N_VID,
} from "./abi.ts";
import { isClosed, receiveFeatures, receiveOffloads } from "./features.ts";
import type { ReceiveFilter } from "./filter.ts";

/** What commands act on: the device. */
export interface ControlTarget {
  readonly filter: ReceiveFilter;
  /** The negotiated features. */
  readonly negotiated: bigint;
  readonly maxPairs: number;
  setAddress(mac: Uint8Array): void;
  setQueuePairs(count: number): void;
  setReceiveOffloads(offloads: number): void;
  announced(): void;
}

const ALL_OFFLOADS = 0x7fff_ffff;

export class ControlQueue {
  readonly #target: ControlTarget;
  readonly #mac = new Uint8Array(ETH_ALEN);

  constructor(target: ControlTarget) {
    this.#target = target;
  }

  /** Answers what there is. Returns false when the turn's budget is used up: there may be more. */
  run(queue: Virtqueue): boolean {
    let budget = queue.size;
    queue.disarm();
    do {
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
        // Without room for an answer nothing can be said, so nothing is done (NETC-02).
        if (chain.writer.remaining > 0) chain.writer.u8(this.#answer(chain.reader));
        queue.complete(chain);
        if (--budget === 0) break;
      }
      queue.flush();
    } while (budget > 0 && queue.arm());
    return budget > 0;
  }

  #answer(reader: ChainReader): number {
    if (reader.remaining < 2) return VIRTIO_NET_ERR;
    const commandClass = reader.u8();
    const command = reader.u8();
    return this.#obey(commandClass, command, reader) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
  }

  #obey(commandClass: number, command: number, reader: ChainReader): boolean {
    switch (commandClass) {
      case VIRTIO_NET_CTRL_RX:
        return this.#setMode(command, reader);
      case VIRTIO_NET_CTRL_MAC:
        if (command === VIRTIO_NET_CTRL_MAC_TABLE_SET) return this.#setTables(reader);
        return command === VIRTIO_NET_CTRL_MAC_ADDR_SET && this.#setAddress(reader);
      case VIRTIO_NET_CTRL_VLAN:
        return this.#setVlan(command, reader);
      case VIRTIO_NET_CTRL_ANNOUNCE:
        if (command !== VIRTIO_NET_CTRL_ANNOUNCE_ACK) return false;
        if (!this.#has(VIRTIO_NET_F_GUEST_ANNOUNCE)) return false;
        this.#target.announced();
        return true;
      case VIRTIO_NET_CTRL_MQ:
        return command === VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET && this.#setPairs(reader);
      case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
        return command === VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET && this.#setOffloads(reader);
      default:
        return false;
    }
  }

  /** Whether the driver negotiated what the command belongs to (NETC-03). */
  #has(feature: bigint): boolean {
    return (this.#target.negotiated & feature) !== 0n;
  }

  #setMode(command: number, reader: ChainReader): boolean {
    const extra = command > VIRTIO_NET_CTRL_RX_ALLMULTI;
    if (!this.#has(extra ? VIRTIO_NET_F_CTRL_RX_EXTRA : VIRTIO_NET_F_CTRL_RX)) return false;
    if (reader.remaining < 1) return false;
    const value = reader.u8();
    if (value > 1) return false;
    const on = value === 1;
    const { filter } = this.#target;
    switch (command) {
      case VIRTIO_NET_CTRL_RX_PROMISC:
        filter.promiscuous = on;
        return true;
      case VIRTIO_NET_CTRL_RX_ALLMULTI:
        filter.allMulticast = on;
        return true;
      case VIRTIO_NET_CTRL_RX_ALLUNI:
        filter.allUnicast = on;
        return true;
      case VIRTIO_NET_CTRL_RX_NOMULTI:
        filter.noMulticast = on;
        return true;
      case VIRTIO_NET_CTRL_RX_NOUNI:
        filter.noUnicast = on;
        return true;
      case VIRTIO_NET_CTRL_RX_NOBCAST:
        filter.noBroadcast = on;
        return true;
      default:
        return false;
    }
  }

  /** Two tables, each a count and addresses. Both counts are checked before anything changes (NETC-08). */
  #setTables(reader: ChainReader): boolean {
    if (!this.#has(VIRTIO_NET_F_CTRL_RX) || reader.remaining < 4) return false;
    const unicast = reader.u32();
    if (reader.remaining < unicast * ETH_ALEN + 4) return false;
    reader.skip(unicast * ETH_ALEN);
    const multicast = reader.u32();
    if (reader.remaining < multicast * ETH_ALEN) return false;
    reader.rewind();
    reader.skip(2 + 4); // the counts stay those that were checked
    this.#fillTable(this.#target.filter.unicast, unicast, reader);
    reader.skip(4);
    this.#fillTable(this.#target.filter.multicast, multicast, reader);
    return true;
  }

  #fillTable(table: ReceiveFilter["unicast"], count: number, reader: ChainReader): void {
    table.clear();
    let left = count;
    for (; left > 0 && !table.overflown; left--) {
      reader.bytes(this.#mac);
      table.add(this.#mac);
    }
    reader.skip(left * ETH_ALEN); // not read one by one: a count can claim gigabytes (HD-80)
  }

  #setAddress(reader: ChainReader): boolean {
    if (!this.#has(VIRTIO_NET_F_CTRL_MAC_ADDR) || reader.remaining < ETH_ALEN) return false;
    reader.bytes(this.#mac);
    this.#target.setAddress(this.#mac);
    return true;
  }

  #setVlan(command: number, reader: ChainReader): boolean {
    if (!this.#has(VIRTIO_NET_F_CTRL_VLAN) || reader.remaining < 2) return false;
    const id = reader.u16();
    if (id >= VLAN_N_VID) return false; // NETC-14
    if (command !== VIRTIO_NET_CTRL_VLAN_ADD && command !== VIRTIO_NET_CTRL_VLAN_DEL) return false;
    this.#target.filter.setVlan(id, command === VIRTIO_NET_CTRL_VLAN_ADD);
    return true;
  }

  #setPairs(reader: ChainReader): boolean {
    if (!this.#has(VIRTIO_NET_F_MQ) || reader.remaining < 2) return false;
    const count = reader.u16();
    if (count < 1 || count > this.#target.maxPairs) return false; // NETC-17
    this.#target.setQueuePairs(count);
    return true;
  }

  /** A mask of feature bits; each must have been negotiated, and have what it needs (NETC-20). */
  #setOffloads(reader: ChainReader): boolean {
    if (!this.#has(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) || reader.remaining < 8) return false;
    const low = reader.u32();
    const wanted = (BigInt(reader.u32()) << 32n) | BigInt(low);
    const possible = receiveFeatures(ALL_OFFLOADS) & this.#target.negotiated;
    if ((wanted & ~possible) !== 0n || !isClosed(wanted)) return false;
    this.#target.setReceiveOffloads(receiveOffloads(wanted));
    return true;
  }
}
