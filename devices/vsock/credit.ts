/** Flow control of one connection (spec 5.10.6.3): counts modulo 2**32, as they are on the wire. */
import { BUFFER_BYTES } from "./backlog.ts";

/**
 * The guest hears of free space when it has grown by this much since it last heard. A quarter of the buffer: it can
 * never run dry while all of what it sent has been passed on.
 */
export const UPDATE_BYTES: number = BUFFER_BYTES / 4;

export class Credit {
  #sent = 0;
  #peerBuffer = 0;
  #peerForwarded = 0;
  #received = 0;
  #forwarded = 0;
  #announced = 0;

  /** Takes what every packet of the guest says (VSOCK-18). */
  heard(bufferBytes: number, forwarded: number): void {
    this.#peerBuffer = bufferBytes;
    this.#peerForwarded = forwarded;
  }

  /**
   * Bytes the guest has room for. A guest that shrinks its buffer below what is on its way, or claims to have passed
   * on what was never sent, has none (VSOCK-17, VSOCK-22).
   */
  get free(): number {
    const inFlight = (this.#sent - this.#peerForwarded) >>> 0;
    return Math.max(0, this.#peerBuffer - inFlight);
  }

  /** Bytes of buffer that the guest has in all. */
  get peerBuffer(): number {
    return this.#peerBuffer;
  }

  /** `bytes` are on their way to the guest. */
  sent(bytes: number): void {
    this.#sent = (this.#sent + bytes) >>> 0;
  }

  /** `bytes` came from the guest; false when it had no credit for them (VSOCK-23). */
  received(bytes: number): boolean {
    if (((this.#received - this.#forwarded) >>> 0) + bytes > BUFFER_BYTES) return false;
    this.#received = (this.#received + bytes) >>> 0;
    return true;
  }

  /** `bytes` of the guest's have been passed on. */
  passedOn(bytes: number): void {
    this.#forwarded = (this.#forwarded + bytes) >>> 0;
  }

  /** Whether the guest should be told of free space. */
  get updateDue(): boolean {
    return ((this.#forwarded - this.#announced) >>> 0) >= UPDATE_BYTES;
  }

  /** What a packet to the guest says; it has heard it then. */
  announce(): number {
    this.#announced = this.#forwarded;
    return this.#forwarded;
  }
}
