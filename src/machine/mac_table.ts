/**
 * Which port of a switch an Ethernet address was last heard from (IEEE 802.1Q 8.8, the filtering database). Bounded twice:
 * by its size, and by what one port may occupy. A guest that sends from ever new addresses (MAC flooding) would fill an
 * unbounded table's memory, and in a table that is full others' frames would go to every port, its own included.
 * Used by `ethernet_switch.ts`.
 */

/** Addresses of all ports together. */
export const TABLE_ENTRIES = 4096;
/** Addresses behind one port: a guest that is a bridge for containers has some. More are not learned, only served. */
export const PORT_ENTRIES = 256;
/** 802.1Q table 8-6: the recommended ageing time. */
export const AGEING_MS = 300_000;
/** No port. */
export const NOWHERE = -1;
/** Ports that can be told apart. */
export const MAX_PORTS = 0x7fff;

const BUCKETS = TABLE_ENTRIES;
const END = -1;

/** Addresses as two numbers: the first two bytes, and the last four. Chains of entries behind buckets, without objects. */
export class MacTable {
  readonly #high = new Uint16Array(TABLE_ENTRIES);
  readonly #low = new Uint32Array(TABLE_ENTRIES);
  readonly #port = new Int16Array(TABLE_ENTRIES);
  readonly #seen = new Float64Array(TABLE_ENTRIES);
  /** The next entry of the same bucket, or of the free ones. */
  readonly #next = new Int16Array(TABLE_ENTRIES);
  readonly #first = new Int16Array(BUCKETS).fill(END);
  readonly #behind = new Uint16Array(MAX_PORTS + 1);
  /** Guests choose addresses: without a secret they could choose those of one bucket. */
  readonly #secret = crypto.getRandomValues(new Uint32Array(2));
  #free = 0;
  #size = 0;

  constructor() {
    for (let i = 0; i < TABLE_ENTRIES; i++) this.#next[i] = i + 1 < TABLE_ENTRIES ? i + 1 : END;
  }

  /** Addresses known. */
  get size(): number {
    return this.#size;
  }

  /** Where the address is; NOWHERE when that is not known, or known from too long ago. */
  find(high: number, low: number, now: number): number {
    const entry = this.#entry(high, low);
    if (entry === END || now - (this.#seen[entry] as number) > AGEING_MS) return NOWHERE;
    return this.#port[entry] as number;
  }

  /** The address was heard from `port` now. It may have moved there. */
  learn(high: number, low: number, port: number, now: number): void {
    const entry = this.#entry(high, low);
    if (entry !== END && this.#port[entry] === port) this.#seen[entry] = now;
    else if ((this.#behind[port] as number) < PORT_ENTRIES) {
      this.#place(entry, high, low, port, now);
    }
  }

  #place(known: number, high: number, low: number, port: number, now: number): void {
    const entry = known === END ? this.#take(high, low) : known;
    if (entry === END) return;
    if (known !== END) (this.#behind[this.#port[entry] as number] as number)--;
    this.#port[entry] = port;
    this.#seen[entry] = now;
    (this.#behind[port] as number)++;
  }

  /** An entry for a new address, in its bucket; END when all are in use. */
  #take(high: number, low: number): number {
    const entry = this.#free;
    if (entry === END) return END;
    this.#free = this.#next[entry] as number;
    const bucket = this.#bucket(high, low);
    this.#high[entry] = high;
    this.#low[entry] = low;
    this.#next[entry] = this.#first[bucket] as number;
    this.#first[bucket] = entry;
    this.#size++;
    return entry;
  }

  #entry(high: number, low: number): number {
    let entry = this.#first[this.#bucket(high, low)] as number;
    while (entry !== END && (this.#low[entry] !== low || this.#high[entry] !== high)) {
      entry = this.#next[entry] as number;
    }
    return entry;
  }

  #bucket(high: number, low: number): number {
    const mixed = Math.imul(low ^ (this.#secret[0] as number), 0x9e37_79b1) ^
      Math.imul(high ^ (this.#secret[1] as number), 0x85eb_ca6b);
    return (mixed ^ (mixed >>> 15)) & (BUCKETS - 1);
  }

  /** Forgets what was not heard of for too long, which makes room. To be called every now and then. */
  age(now: number): void {
    this.#forget((entry) => now - (this.#seen[entry] as number) > AGEING_MS);
  }

  /** The port is gone. */
  forgetPort(port: number): void {
    if ((this.#behind[port] as number) > 0) this.#forget((entry) => this.#port[entry] === port);
  }

  #forget(isOver: (entry: number) => boolean): void {
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      let kept = END;
      for (let entry = this.#first[bucket] as number; entry !== END;) {
        const next = this.#next[entry] as number;
        if (isOver(entry)) this.#release(entry);
        else {
          this.#next[entry] = kept;
          kept = entry;
        }
        entry = next;
      }
      this.#first[bucket] = kept;
    }
  }

  #release(entry: number): void {
    (this.#behind[this.#port[entry] as number] as number)--;
    this.#next[entry] = this.#free;
    this.#free = entry;
    this.#size--;
  }
}
