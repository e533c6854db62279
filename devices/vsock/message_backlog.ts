/** A backlog of messages: what waits are frames, and what counts for credit is their payload alone (VSOCK-19). */
import type { ChainReader } from "../../src/virtio/chain.ts";
import { VIRTIO_VSOCK_SEQ_EOM } from "./abi.ts";
import { Backlog, BUFFER_BYTES, BufferPool } from "./backlog.ts";
import {
  FrameHeader,
  MAX_FRAME_HEADER_BYTES,
  MAX_MESSAGE_BYTES,
  writeFrameHeader,
} from "./frame.ts";

/** Each header is at most as long as what it stands for: enough for whoever keeps to the credit (see `frame.ts`). */
const pool = new BufferPool(2 * BUFFER_BYTES);
const header = new Uint8Array(MAX_FRAME_HEADER_BYTES);

export class MessageBacklog extends Backlog {
  /** Bytes so far of the message whose end has not come. */
  #messageBytes = 0;
  #payload = 0;
  // Where in the frames the stream is that takes them.
  readonly #taken = new FrameHeader();
  #left = 0;

  constructor() {
    super(pool);
  }

  override get payload(): number {
    return this.#payload;
  }

  /**
   * Takes a packet's payload, with the packet's flags. False when the message becomes longer than MAX_MESSAGE_BYTES
   * (VSOCK-35), or when a guest that ends messages by empty packets, each of which costs a header and no credit, has used
   * up the room.
   */
  appendFragment(reader: ChainReader, length: number, flags: number): boolean {
    const isEnd = (flags & VIRTIO_VSOCK_SEQ_EOM) !== 0;
    this.#messageBytes += length;
    if (this.#messageBytes > MAX_MESSAGE_BYTES) return false;
    // Nothing, or an empty message: a receiver could not tell it from the end, and Linux sends none.
    if (this.#messageBytes === 0 || length === 0 && !isEnd) return true;
    if (isEnd) this.#messageBytes = 0;
    const headerBytes = writeFrameHeader(header, length, flags);
    if (headerBytes + length > this.room) return false;
    this.appendBytes(header, headerBytes);
    this.append(reader, length);
    this.#payload += length;
    return true;
  }

  protected override payloadOf(bytes: Uint8Array, start: number, end: number): number {
    let payload = 0;
    for (let at = start; at < end;) {
      if (this.#left === 0) {
        if (this.#taken.push(bytes[at++] as number) === "whole") this.#left = this.#taken.length;
        continue;
      }
      const part = Math.min(this.#left, end - at);
      this.#left -= part;
      payload += part;
      at += part;
    }
    this.#payload -= payload;
    return payload;
  }

  override drop(): void {
    super.drop();
    this.#payload = this.#left = 0;
    this.#taken.clear();
  }
}
