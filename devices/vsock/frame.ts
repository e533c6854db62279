/**
 * How a SOCK_SEQPACKET connection lies in the byte stream between the device and whoever is at the host's end of it:
 * each piece of a message behind a header, which says how long it is and, by the flags of its packet (spec 5.10.6.6),
 * whether a message ends with it. Deno has stream sockets only, so AF_UNIX cannot keep the boundaries for us.
 *
 * The header is `length << 2 | flags`, seven bits a byte, lowest first, bit 7 set in all bytes but the last. So it is
 * never longer than what it stands for (which is not empty, but for the end of a message): what a guest makes wait is at
 * most twice its credit. Used by the device and by `src/machine`. Pure.
 */
import { VIRTIO_VSOCK_SEQ_EOM, VIRTIO_VSOCK_SEQ_EOR } from "./abi.ts";

/**
 * Most bytes of a message, either way: the credit that the device gives (BUFFER_BYTES), beyond which Linux does not send
 * (EMSGSIZE). A guest that goes on is reset (VSOCK-35).
 */
export const MAX_MESSAGE_BYTES: number = 256 * 1024;
/** Most bytes of a header: a length of up to MAX_MESSAGE_BYTES has 19 bits. */
export const MAX_FRAME_HEADER_BYTES = 3;

const FLAGS = VIRTIO_VSOCK_SEQ_EOM | VIRTIO_VSOCK_SEQ_EOR;
const FLAG_BITS = 2;
const GROUP_BITS = 7;
const MORE = 1 << GROUP_BITS;

/** Writes a header to the front of `into`; returns its bytes. `flags` that mean nothing are left out. */
export function writeFrameHeader(into: Uint8Array, length: number, flags: number): number {
  let rest = (length << FLAG_BITS) | (flags & FLAGS);
  let count = 0;
  for (; rest >= MORE; rest >>>= GROUP_BITS) into[count++] = (rest & (MORE - 1)) | MORE;
  into[count++] = rest;
  return count;
}

/** Reads headers, a byte at a time as they come. */
export class FrameHeader {
  /** Bytes behind the header. */
  length = 0;
  /** VIRTIO_VSOCK_SEQ_EOM, VIRTIO_VSOCK_SEQ_EOR. */
  flags = 0;
  #bits = 0;
  #count = 0;

  /** Whether it has some bytes of a header and not all. */
  get isPartial(): boolean {
    return this.#count > 0;
  }

  /** Takes a byte. `whole`: `length` and `flags` are those of the header that ends with it. */
  push(byte: number): "partial" | "whole" | "malformed" {
    this.#bits |= (byte & (MORE - 1)) << (GROUP_BITS * this.#count++);
    const isLast = (byte & MORE) === 0;
    if (!isLast && this.#count < MAX_FRAME_HEADER_BYTES) return "partial";
    this.length = this.#bits >>> FLAG_BITS;
    this.flags = this.#bits & FLAGS;
    this.clear();
    return isLast && this.length <= MAX_MESSAGE_BYTES ? "whole" : "malformed";
  }

  /** Forgets the bytes of a header that is not whole. */
  clear(): void {
    this.#bits = this.#count = 0;
  }
}
