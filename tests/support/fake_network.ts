/** A network in memory: frames the guest sent, frames on their way to it, and as much room as a test wants. */
import {
  MAX_FRAME_BYTES,
  type NetBackend,
  type NetEvents,
  OFFLOAD_CSUM,
  OFFLOAD_ECN,
  OFFLOAD_TSO4,
  OFFLOAD_TSO6,
  OFFLOAD_USO4,
  OFFLOAD_USO6,
  PREFIX_BYTES,
} from "../../devices/net/backend.ts";
import { assert } from "../../src/std/assert.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import { iovecEntry } from "./fake_disk.ts";
import { concat, type GuestRam } from "./guest_ram.ts";

export const HEADER_BYTES = 12;
export const ALL_OFFLOADS: number = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN |
  OFFLOAD_USO4 | OFFLOAD_USO6;

/** What kind of network. */
export interface FakeNetworkSetup {
  readonly offloads?: number;
  readonly queuePairs?: number;
  readonly longestFrame?: number;
}

/** A packet the guest sent. */
export interface SentPacket {
  readonly pair: number;
  readonly header: Uint8Array<ArrayBuffer>;
  readonly frame: Uint8Array<ArrayBuffer>;
}

export class FakeNetwork implements NetBackend {
  readonly sendOffloads: number;
  readonly receiveOffloads: number;
  readonly queuePairs: number;
  readonly longestFrame: number;
  carrier = true;
  readonly sendHeader: Uint8Array<ArrayBuffer> = new Uint8Array(HEADER_BYTES);
  readonly prefix: Uint8Array<ArrayBuffer> = new Uint8Array(PREFIX_BYTES);
  readonly sent: SentPacket[] = [];
  /** Packets `send` still takes before it answers that there is no room. */
  room = Infinity;
  /** What the device has asked for. */
  offloads = 0;
  pairsInUse = 1;
  readonly listening: boolean[];
  readonly #ram: GuestRam;
  readonly #waiting: Uint8Array[][];
  #events: NetEvents | undefined;

  constructor(ram: GuestRam, setup: FakeNetworkSetup = {}) {
    this.#ram = ram;
    this.sendOffloads = this.receiveOffloads = setup.offloads ?? ALL_OFFLOADS;
    this.queuePairs = setup.queuePairs ?? 1;
    this.longestFrame = setup.longestFrame ?? MAX_FRAME_BYTES;
    this.listening = new Array<boolean>(this.queuePairs).fill(false);
    this.#waiting = this.listening.map(() => []);
  }

  attach(events: NetEvents): void {
    assert(this.#events === undefined, "attach is called once");
    this.#events = events;
  }

  send(pair: number, frame: IovecList): boolean {
    if (this.room === 0) return false;
    this.room--;
    const parts: Uint8Array[] = [];
    for (let i = 0; i < frame.count; i++) {
      const { address, length } = iovecEntry(frame, i);
      parts.push(this.#ram.hostBytes(address, length));
    }
    this.sent.push({ pair, header: this.sendHeader.slice(), frame: concat(...parts) });
    return true;
  }

  receive(pair: number, into: IovecList): number {
    const packet = this.#waiting[pair]?.shift();
    if (packet === undefined) return 0;
    this.prefix.set(packet.subarray(0, PREFIX_BYTES));
    let done = Math.min(PREFIX_BYTES, packet.length);
    for (let i = 0; i < into.count; i++) {
      const { address, length } = iovecEntry(into, i);
      const part = packet.subarray(done, done + length);
      this.#ram.hostBytes(address, length).set(part);
      done += part.length;
    }
    return packet.length;
  }

  listen(pair: number, wanted: boolean): void {
    this.listening[pair] = wanted;
  }

  setOffloads(offloads: number): void {
    this.offloads = offloads;
  }

  setQueuePairs(count: number): void {
    this.pairsInUse = count;
  }

  close(): void {}

  /** A packet arrives, header first, and the device hears of it if it listens. */
  arrive(packet: Uint8Array, pair = 0): void {
    this.#waiting[pair]?.push(packet);
    if (this.listening[pair]) this.#events?.readable(pair);
  }

  /** Somebody out there answers with `packet`, and the network does as a tap: the answer goes where `to` came from. */
  answer(to: SentPacket, packet: Uint8Array): void {
    this.arrive(packet, to.pair);
  }

  /** Packets the device has not taken. */
  waiting(pair = 0): number {
    return this.#waiting[pair]?.length ?? 0;
  }

  /** There is room again. */
  makeRoom(packets: number): void {
    this.room = packets;
    for (let pair = 0; pair < this.queuePairs; pair++) this.#events?.writable(pair);
  }

  /** Somebody pulls the cable, or plugs it in. */
  setCarrier(up: boolean): void {
    this.carrier = up;
    this.#events?.carrierChanged(up);
  }
}
