/**
 * A network with an ear: everything that passes between a card and its backend goes into a file as well, in pcapng,
 * which Wireshark and tcpdump read (IETF draft-ietf-opsawg-pcapng). For looking at networks, not for speed.
 *
 * Frames are recorded as they are on this cable: checksums may be missing and segments longer than the MTU where guest
 * and host have left that to each other.
 */
import { copyFrom } from "../../src/sys/memory_copy.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import { virtio_net_hdr_v1 } from "./abi.ts";
import { MAX_FRAME_BYTES, type NetBackend, type NetEvents, PREFIX_BYTES } from "./backend.ts";

const HEADER_BYTES = virtio_net_hdr_v1.size;
const SECTION_HEADER = 0x0a0d0d0a;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const INTERFACE_DESCRIPTION = 1;
const ENHANCED_PACKET = 6;
const LINKTYPE_ETHERNET = 1;
/** Block type, length, interface, two halves of the time, captured and original length. */
const PACKET_HEADER_BYTES = 28;
/** Option epb_flags, which says the direction, and the end of options; then the length once more. */
const PACKET_TRAILER_BYTES = 12 + 4;
const EPB_FLAGS = 2;
const INBOUND = 1;
const OUTBOUND = 2;

/** Blocks of one interface, appended to a file. */
export class PcapFile {
  readonly #file: Deno.FsFile;
  readonly #block = new Uint8Array(
    PACKET_HEADER_BYTES + MAX_FRAME_BYTES + 3 + PACKET_TRAILER_BYTES,
  );
  readonly #view = new DataView(this.#block.buffer);
  readonly #path: string;
  readonly #failed: (message: string) => void;
  #broken = false;

  /** Replaces what is at `path`; `failed` is told when it cannot be written. Throws what opening it throws. */
  constructor(path: string, failed: (message: string) => void) {
    this.#path = path;
    this.#failed = failed;
    this.#file = Deno.openSync(path, { write: true, create: true, truncate: true });
    this.#write(words(SECTION_HEADER, 28, BYTE_ORDER_MAGIC, 1, 0xffff_ffff, 0xffff_ffff, 28));
    this.#write(words(INTERFACE_DESCRIPTION, 20, LINKTYPE_ETHERNET, 0, 20));
  }

  /** Where a frame is to be put before `add`. */
  get frame(): Uint8Array<ArrayBuffer> {
    return this.#block.subarray(PACKET_HEADER_BYTES);
  }

  /** Appends the frame of `length` bytes that was put into `frame`. */
  add(length: number, outbound: boolean): void {
    const microseconds = Math.floor((performance.timeOrigin + performance.now()) * 1000);
    const padded = Math.ceil(length / 4) * 4;
    const total = PACKET_HEADER_BYTES + padded + PACKET_TRAILER_BYTES;
    const high = Math.floor(microseconds / 0x1_0000_0000);
    this.#put(0, ENHANCED_PACKET, total, 0, high, microseconds, length, length);
    this.#block.fill(0, PACKET_HEADER_BYTES + length, PACKET_HEADER_BYTES + padded);
    const flags = (4 << 16) | EPB_FLAGS;
    this.#put(PACKET_HEADER_BYTES + padded, flags, outbound ? OUTBOUND : INBOUND, 0, total);
    this.#write(this.#block.subarray(0, total));
  }

  #put(at: number, ...values: readonly number[]): void {
    values.forEach((value, i) => this.#view.setUint32(at + 4 * i, value, true));
  }

  /** A full disk ends the recording, not the network. */
  #write(bytes: Uint8Array): void {
    if (this.#broken) return;
    try {
      for (let done = 0; done < bytes.length;) done += this.#file.writeSync(bytes.subarray(done));
    } catch (error) {
      this.#broken = true;
      const reason = error instanceof Error ? error.message : String(error);
      this.#failed(`Cannot go on with the recording "${this.#path}": ${reason}`);
    }
  }

  close(): void {
    this.#file.close();
  }
}

function words(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

/** Stands between a device and its backend. */
export class CaptureBackend implements NetBackend {
  readonly sendOffloads: number;
  readonly receiveOffloads: number;
  readonly queuePairs: number;
  readonly longestFrame: number;
  readonly sendHeader: Uint8Array<ArrayBuffer>;
  readonly prefix: Uint8Array<ArrayBuffer>;
  readonly #inner: NetBackend;
  readonly #file: PcapFile;

  constructor(inner: NetBackend, file: PcapFile) {
    this.#inner = inner;
    this.#file = file;
    this.sendOffloads = inner.sendOffloads;
    this.receiveOffloads = inner.receiveOffloads;
    this.queuePairs = inner.queuePairs;
    this.longestFrame = inner.longestFrame;
    this.sendHeader = inner.sendHeader;
    this.prefix = inner.prefix;
  }

  get carrier(): boolean {
    return this.#inner.carrier;
  }

  attach(events: NetEvents): void {
    this.#inner.attach(events);
  }

  /** The guest may change a frame between the two looks: it can only make its own recording wrong. */
  send(pair: number, frame: IovecList): boolean {
    if (!this.#inner.send(pair, frame)) return false;
    gather(frame, this.#file.frame, frame.bytes);
    this.#file.add(frame.bytes, true);
    return true;
  }

  receive(pair: number, into: IovecList): number {
    const length = this.#inner.receive(pair, into);
    const rest = length - PREFIX_BYTES;
    if (length === 0 || rest > into.bytes) return length; // nothing, or lost
    const { frame } = this.#file;
    frame.set(this.prefix.subarray(HEADER_BYTES));
    if (rest > 0) gather(into, frame.subarray(PREFIX_BYTES - HEADER_BYTES), rest);
    this.#file.add(length - HEADER_BYTES, false);
    return length;
  }

  listen(pair: number, wanted: boolean): void {
    this.#inner.listen(pair, wanted);
  }

  setOffloads(offloads: number): void {
    this.#inner.setOffloads(offloads);
  }

  setQueuePairs(count: number): void {
    this.#inner.setQueuePairs(count);
  }

  close(): void {
    this.#inner.close();
    this.#file.close();
  }
}

/** Copies the first `length` bytes of `list` into `target`. */
function gather(list: IovecList, target: Uint8Array<ArrayBuffer>, length: number): void {
  let done = 0;
  for (let i = 0; i < list.count && done < length; i++) {
    const word = (offset: number) => list.words[i * 4 + offset] as number;
    const part = Math.min(word(2), length - done);
    copyFrom(word(0) + word(1) * 0x1_0000_0000, target.subarray(done, done + part));
    done += part;
  }
}
