/** Packets as bytes: virtio-net headers and Ethernet frames. */
import { concat, littleEndian, pattern } from "./guest_ram.ts";

/** The guest's address in tests. */
export const GUEST_MAC: Uint8Array<ArrayBuffer> = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
export const PEER_MAC: Uint8Array<ArrayBuffer> = Uint8Array.of(0x52, 0x54, 0, 0xab, 0xcd, 0xef);
export const BROADCAST: Uint8Array<ArrayBuffer> = new Uint8Array(6).fill(0xff);

/** Fields of struct virtio_net_hdr_v1; 0 where left out. */
export interface HeaderFields {
  readonly flags?: number;
  readonly gsoType?: number;
  readonly hdrLen?: number;
  readonly gsoSize?: number;
  readonly csumStart?: number;
  readonly csumOffset?: number;
  readonly numBuffers?: number;
}

/** The 12 bytes in front of a frame. */
export function netHeader(fields: HeaderFields = {}): Uint8Array<ArrayBuffer> {
  return concat(
    Uint8Array.of(fields.flags ?? 0, fields.gsoType ?? 0),
    littleEndian(fields.hdrLen ?? 0, 2),
    littleEndian(fields.gsoSize ?? 0, 2),
    littleEndian(fields.csumStart ?? 0, 2),
    littleEndian(fields.csumOffset ?? 0, 2),
    littleEndian(fields.numBuffers ?? 0, 2),
  );
}

/** What is in a frame besides its addresses. */
export interface FrameFields {
  readonly to?: Uint8Array;
  readonly from?: Uint8Array;
  /** A VLAN tag. */
  readonly vlan?: number;
  readonly seed?: number;
}

/** A frame of `length` bytes of which nobody looks at the payload. */
export function frameOf(length: number, fields: FrameFields = {}): Uint8Array<ArrayBuffer> {
  const tag = fields.vlan === undefined ? [] : [0x81, 0x00, fields.vlan >>> 8, fields.vlan & 0xff];
  const head = concat(
    fields.to ?? GUEST_MAC,
    fields.from ?? PEER_MAC,
    Uint8Array.from([...tag, 0x88, 0xb5]), // IEEE 802.1 local experimental
  );
  return concat(head, pattern(Math.max(0, length - head.length), fields.seed ?? 0))
    .slice(0, length);
}
