/**
 * An Ethernet switch (IEEE 802.1Q, a bridge without VLANs and spanning tree): learns where addresses are and sends frames
 * there, or everywhere. Frames are in a stream, each behind its length (QEMU's `-netdev stream`), and runs of them with
 * the same way are passed on in one piece. Heap only. Used by `switch_worker.ts`.
 */
import { ETH_ALEN, ETH_HLEN } from "../../devices/net/abi.ts";
import { MAX_FRAME_BYTES } from "../../devices/net/backend.ts";
import { MacTable, MAX_PORTS, NOWHERE } from "./mac_table.ts";

/** Of the length in front of each frame, big-endian. */
export const LENGTH_BYTES = 4;
/** All ports but the one it came from. */
const EVERYWHERE = -2;
/** The bit of an address's first byte that says it is a group's. */
const GROUP = 1;

/** Where frames go out. */
export interface SwitchPort {
  /**
   * Sends [start, end) of `bytes`, whole frames, which are not needed any more afterwards. Must not wait: frames for which
   * there is no room are lost.
   */
  deliver(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): void;
}

/**
 * The length of the frame at `at`, its length field left out; -1 when it is not all before `end`; -2 when no frame is that
 * long, or that short.
 */
export function frameLength(bytes: Uint8Array<ArrayBuffer>, at: number, end: number): number {
  if (end - at < LENGTH_BYTES) return -1;
  const length = word(bytes, at);
  if (length > MAX_FRAME_BYTES || length < ETH_HLEN) return -2;
  return end - at - LENGTH_BYTES < length ? -1 : length;
}

function word(bytes: Uint8Array<ArrayBuffer>, at: number): number {
  return ((half(bytes, at) << 16) | half(bytes, at + 2)) >>> 0;
}

function half(bytes: Uint8Array<ArrayBuffer>, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export class EthernetSwitch {
  readonly #ports: (SwitchPort | undefined)[] = [];
  readonly #table = new MacTable();

  /** The number of the new port; -1 when there are too many. */
  add(port: SwitchPort): number {
    const free = this.#ports.indexOf(undefined);
    const number = free < 0 ? this.#ports.length : free;
    if (number > MAX_PORTS) return -1;
    this.#ports[number] = port;
    return number;
  }

  remove(number: number): void {
    if (number < 0) return;
    this.#ports[number] = undefined;
    this.#table.forgetPort(number);
  }

  /** To be called every now and then. `now` in milliseconds. */
  age(now: number): void {
    this.#table.age(now);
  }

  /**
   * Passes on the frames in [start, end) of `bytes`, which came from port `from`. Returns where the first one begins that
   * is not all there; -1 when what is there is not frames.
   */
  forward(
    from: number,
    bytes: Uint8Array<ArrayBuffer>,
    start: number,
    end: number,
    now: number,
  ): number {
    let run = start, way = NOWHERE, at = start;
    let length = frameLength(bytes, at, end);
    for (; length >= 0; length = frameLength(bytes, at, end)) {
      const to = this.#wayOf(from, bytes, at + LENGTH_BYTES, now);
      if (to !== way) {
        this.#deliver(from, way, bytes, run, at);
        run = at;
        way = to;
      }
      at += LENGTH_BYTES + length;
    }
    this.#deliver(from, way, bytes, run, at);
    return length === -1 ? at : -1;
  }

  /** A port, EVERYWHERE, or NOWHERE. */
  #wayOf(from: number, frame: Uint8Array<ArrayBuffer>, at: number, now: number): number {
    const source = at + ETH_ALEN;
    // No card is a group: learned, it would take the group's frames to itself.
    if (((frame[source] as number) & GROUP) !== 0) return NOWHERE;
    this.#table.learn(half(frame, source), word(frame, source + 2), from, now);
    const high = half(frame, at), low = word(frame, at + 2);
    if (((frame[at] as number) & GROUP) !== 0) return isReserved(high, low) ? NOWHERE : EVERYWHERE;
    const port = this.#table.find(high, low, now);
    if (port === NOWHERE) return EVERYWHERE;
    return port === from ? NOWHERE : port;
  }

  #deliver(
    from: number,
    way: number,
    bytes: Uint8Array<ArrayBuffer>,
    start: number,
    end: number,
  ): void {
    if (way === NOWHERE || start === end) return;
    if (way !== EVERYWHERE) return this.#ports[way]?.deliver(bytes, start, end);
    for (let i = 0; i < this.#ports.length; i++) {
      if (i !== from) this.#ports[i]?.deliver(bytes, start, end);
    }
  }
}

/** 802.1Q table 8-1: 01-80-C2-00-00-00 to -0F are between neighbours only (pause frames, LLDP), a switch is one. */
function isReserved(high: number, low: number): boolean {
  return high === 0x0180 && low >= 0xc200_0000 && low <= 0xc200_000f;
}
