/**
 * The header in front of every vsock packet (spec 5.10.6). One object is filled and read again and again: headers are
 * copied from and to the guest field by field, and the copy is what counts.
 */
import type { ChainReader, ChainWriter } from "../../src/virtio/chain.ts";
import { virtio_vsock_hdr, VMADDR_CID_HOST } from "./abi.ts";

export const HEADER_BYTES: number = virtio_vsock_hdr.size;
/** Most payload of a packet, either way: what one packet may cost in one turn (HD-83; Linux VIRTIO_VSOCK_MAX_PKT_BUF_SIZE). */
export const MAX_PAYLOAD_BYTES: number = 64 * 1024;

export class PacketHeader {
  sourceCid = 0;
  destinationCid = 0;
  sourcePort = 0;
  destinationPort = 0;
  /** Payload bytes. */
  length = 0;
  type = 0;
  op = 0;
  flags = 0;
  /** Bytes of receive buffer the sender has for this connection. */
  bufferBytes = 0;
  /** Bytes it has passed on, modulo 2**32. */
  forwarded = 0;

  /** Whether a header could be read at all. CIDs with anything in their upper halves become no valid CID. */
  read(reader: ChainReader): boolean {
    if (reader.remaining < HEADER_BYTES) return false;
    this.sourceCid = reader.u32() + reader.u32() * 0x1_0000_0000;
    this.destinationCid = reader.u32() + reader.u32() * 0x1_0000_0000;
    this.sourcePort = reader.u32();
    this.destinationPort = reader.u32();
    this.length = reader.u32();
    const kind = reader.u32();
    this.type = kind & 0xffff;
    this.op = kind >>> 16;
    this.flags = reader.u32();
    this.bufferBytes = reader.u32();
    this.forwarded = reader.u32();
    return true;
  }

  /** The host is always the source (VSOCK-07). */
  write(writer: ChainWriter, guestCid: number): void {
    writer.u32(VMADDR_CID_HOST);
    writer.u32(0);
    writer.u32(guestCid);
    writer.u32(0);
    writer.u32(this.sourcePort);
    writer.u32(this.destinationPort);
    writer.u32(this.length);
    writer.u32(this.type | (this.op << 16));
    writer.u32(this.flags);
    writer.u32(this.bufferBytes);
    writer.u32(this.forwarded);
  }
}
