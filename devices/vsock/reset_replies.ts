/**
 * RSTs that answer packets of no connection, waiting for receive buffers. Bounded: when it is full, the transmit queue
 * stands still (VSOCK-33), rather than a reply be lost and a guest's connect() hang.
 */
import { VIRTIO_VSOCK_OP_RST } from "./abi.ts";
import type { PacketHeader } from "./packet.ts";

/** As Firecracker. */
export const MAX_REPLIES = 256;

export class ResetReplies {
  /** A ring: host port, guest port, type. */
  readonly #words = new Uint32Array(3 * MAX_REPLIES);
  #first = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get full(): boolean {
    return this.#length === MAX_REPLIES;
  }

  /** An RST that answers `packet`; the caller has asked whether there is room. */
  add({ destinationPort, sourcePort, type }: PacketHeader): void {
    const at = 3 * ((this.#first + this.#length++) % MAX_REPLIES);
    this.#words[at] = destinationPort;
    this.#words[at + 1] = sourcePort;
    this.#words[at + 2] = type;
  }

  /** Makes `header` the oldest one's; false when there is none. */
  take(header: PacketHeader): boolean {
    if (this.#length === 0) return false;
    const at = 3 * this.#first;
    this.#first = (this.#first + 1) % MAX_REPLIES;
    this.#length--;
    header.sourcePort = this.#words[at] as number;
    header.destinationPort = this.#words[at + 1] as number;
    header.type = this.#words[at + 2] as number;
    header.op = VIRTIO_VSOCK_OP_RST;
    header.length =
      header.flags =
      header.bufferBytes =
      header.forwarded =
        0;
    return true;
  }

  clear(): void {
    this.#first = this.#length = 0;
  }
}
