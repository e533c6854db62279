/**
 * Which frames the driver wants (spec 5.1.6.5.1 to .3): receive modes, a table of addresses, a table of VLANs. Set by
 * `control.ts`, asked by `receive.ts` with the first bytes of each frame.
 */
import { ETH_P_8021Q, VLAN_N_VID } from "./abi.ts";

/** More addresses than this and the table counts as "all of them" (NETC-11), as QEMU does it. */
const TABLE_ENTRIES = 64;

/** Addresses as two numbers, so that a look allocates nothing. */
class AddressTable {
  readonly #high = new Uint32Array(TABLE_ENTRIES);
  readonly #low = new Uint16Array(TABLE_ENTRIES);
  #count = 0;
  /** The driver has named more than fit. */
  overflown = false;

  clear(): void {
    this.#count = 0;
    this.overflown = false;
  }

  add(address: Uint8Array): void {
    if (this.#count === TABLE_ENTRIES) {
      this.overflown = true;
      return;
    }
    this.#high[this.#count] = high(address, 0);
    this.#low[this.#count++] = low(address, 0);
  }

  has(bytes: Uint8Array, offset: number): boolean {
    if (this.overflown) return true;
    const wantedHigh = high(bytes, offset);
    const wantedLow = low(bytes, offset);
    for (let i = 0; i < this.#count; i++) {
      if (this.#high[i] === wantedHigh && this.#low[i] === wantedLow) return true;
    }
    return false;
  }
}

function high(bytes: Uint8Array, offset: number): number {
  return (((bytes[offset] as number) << 24) | ((bytes[offset + 1] as number) << 16) |
    ((bytes[offset + 2] as number) << 8) | (bytes[offset + 3] as number)) >>> 0;
}

function low(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset + 4] as number) << 8) | (bytes[offset + 5] as number);
}

/** Frames that `wants` says no to are dropped. Which tables count depends on what the driver negotiated. */
export class ReceiveFilter {
  promiscuous = false;
  allMulticast = false;
  allUnicast = false;
  noMulticast = false;
  noUnicast = false;
  noBroadcast = false;
  readonly unicast: AddressTable = new AddressTable();
  readonly multicast: AddressTable = new AddressTable();
  readonly #own = new AddressTable();
  readonly #vlans = new Uint32Array(VLAN_N_VID / 32);
  #byAddress = false;
  #byVlan = false;

  /** A new life of the device: empty tables (NETC-07, NETC-12). Without CTRL_RX, or CTRL_VLAN, all pass. */
  reset(byAddress: boolean, byVlan: boolean): void {
    this.#byAddress = byAddress;
    this.#byVlan = byVlan;
    this.promiscuous = this.allMulticast = this.allUnicast = false;
    this.noMulticast = this.noUnicast = this.noBroadcast = false;
    this.unicast.clear();
    this.multicast.clear();
    this.#vlans.fill(0);
  }

  /** The device's own address. */
  setOwn(address: Uint8Array): void {
    this.#own.clear();
    this.#own.add(address);
  }

  /** `id` < 4096. */
  setVlan(id: number, wanted: boolean): void {
    const bit = 1 << (id & 31);
    const word = this.#vlans[id >>> 5] as number;
    this.#vlans[id >>> 5] = wanted ? word | bit : word & ~bit;
  }

  /** Whether the driver wants the frame at `offset` of `bytes`, which holds its first 16 bytes at least. */
  wants(bytes: Uint8Array, offset: number): boolean {
    if (this.#byVlan && !this.#wantsVlan(bytes, offset)) return false;
    if (!this.#byAddress || this.promiscuous) return true; // NETC-06
    if (((bytes[offset] as number) & 1) === 0) {
      if (this.noUnicast) return false;
      return this.allUnicast || this.#own.has(bytes, offset) || this.unicast.has(bytes, offset);
    }
    if (high(bytes, offset) === 0xffff_ffff && low(bytes, offset) === 0xffff) {
      return !this.noBroadcast;
    }
    if (this.noMulticast) return false;
    return this.allMulticast || this.multicast.has(bytes, offset);
  }

  /** Untagged frames pass; tagged ones if their VLAN is listed (NETC-12, NETC-13). */
  #wantsVlan(bytes: Uint8Array, offset: number): boolean {
    if (!isTagged(bytes, offset)) return true;
    const id = (((bytes[offset + 14] as number) << 8) | (bytes[offset + 15] as number)) & 0xfff;
    return (((this.#vlans[id >>> 5] as number) >>> (id & 31)) & 1) !== 0;
  }
}

/** Whether the frame at `offset` of `bytes` carries a VLAN tag. */
export function isTagged(bytes: Uint8Array, offset: number): boolean {
  return bytes[offset + 12] === ETH_P_8021Q >>> 8 && bytes[offset + 13] === (ETH_P_8021Q & 0xff);
}
