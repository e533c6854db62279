/** Messages of the host on their way into packets: the frame that is being read. */
import { VIRTIO_VSOCK_SEQ_EOM } from "./abi.ts";
import { BROKEN, type HostStream } from "./backend.ts";
import { FrameHeader } from "./frame.ts";

export class MessageInput {
  readonly #header = new FrameHeader();
  readonly #byte = new Uint8Array(1);
  /** Bytes of the frame that are still to be read. */
  #left = 0;
  /** Bytes of the message, as far as its frames have been announced; 0 between messages. */
  #messageBytes = 0;

  /**
   * Reads up to the payload of a frame; returns how much of it is to be read, or what `read` of the stream said: 0 at the
   * end, NOT_NOW, BROKEN. The end inside a message is BROKEN, and so is a message of more than `most` bytes, or no frame.
   */
  begin(stream: HostStream, most: number): number {
    while (this.#left === 0) { // at most as often as a header has bytes
      const count = stream.readBytes(this.#byte);
      if (count < 0) return count;
      if (count === 0) return this.#messageBytes > 0 || this.#header.isPartial ? BROKEN : 0;
      const found = this.#header.push(this.#byte[0] as number);
      if (found === "partial") continue;
      if (found === "malformed" || this.#header.length === 0) return BROKEN;
      this.#left = this.#header.length;
      this.#messageBytes += this.#header.length;
      if (this.#messageBytes > most) return BROKEN;
    }
    return this.#left;
  }

  /** `bytes` have been read; returns the flags of the packet that has them. */
  took(bytes: number): number {
    this.#left -= bytes;
    if (this.#left > 0) return 0;
    const { flags } = this.#header;
    if ((flags & VIRTIO_VSOCK_SEQ_EOM) !== 0) this.#messageBytes = 0;
    return flags;
  }
}
