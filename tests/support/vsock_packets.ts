/** vsock packets as bytes (spec 5.10.6), from the guest's side. */
import { concat, littleEndian } from "./guest_ram.ts";

export const GUEST_CID = 7;
export const OP = {
  INVALID: 0,
  REQUEST: 1,
  RESPONSE: 2,
  RST: 3,
  SHUTDOWN: 4,
  RW: 5,
  CREDIT_UPDATE: 6,
  CREDIT_REQUEST: 7,
} as const;
export const RCV = 1;
export const SEND = 2;
const HEADER_BYTES = 44;

/** A packet from the guest; what is left out is honest. */
export interface GuestPacket {
  readonly op: number;
  /** Guest's port. */
  readonly from?: number;
  /** Host's port. */
  readonly to?: number;
  readonly payload?: Uint8Array;
  readonly length?: number;
  readonly type?: number;
  readonly flags?: number;
  readonly bufAlloc?: number;
  readonly fwdCnt?: number;
  readonly sourceCid?: number | bigint;
  readonly destinationCid?: number | bigint;
}

/** A packet from the device. */
export interface HostPacket {
  readonly sourceCid: bigint;
  readonly destinationCid: bigint;
  /** Host's port. */
  readonly from: number;
  /** Guest's port. */
  readonly to: number;
  readonly length: number;
  readonly type: number;
  readonly op: number;
  readonly flags: number;
  readonly bufAlloc: number;
  readonly fwdCnt: number;
  readonly payload: Uint8Array;
}

export function packetBytes(packet: GuestPacket): Uint8Array {
  const { payload = new Uint8Array() } = packet;
  return concat(
    littleEndian(packet.sourceCid ?? GUEST_CID, 8),
    littleEndian(packet.destinationCid ?? 2, 8),
    littleEndian(packet.from ?? 5000, 4),
    littleEndian(packet.to ?? 80, 4),
    littleEndian(packet.length ?? payload.length, 4),
    littleEndian(packet.type ?? 1, 2),
    littleEndian(packet.op, 2),
    littleEndian(packet.flags ?? 0, 4),
    littleEndian(packet.bufAlloc ?? 262144, 4),
    littleEndian(packet.fwdCnt ?? 0, 4),
    payload,
  );
}

export function parsePacket(bytes: Uint8Array): HostPacket {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    sourceCid: view.getBigUint64(0, true),
    destinationCid: view.getBigUint64(8, true),
    from: view.getUint32(16, true),
    to: view.getUint32(20, true),
    length: view.getUint32(24, true),
    type: view.getUint16(28, true),
    op: view.getUint16(30, true),
    flags: view.getUint32(32, true),
    bufAlloc: view.getUint32(36, true),
    fwdCnt: view.getUint32(40, true),
    payload: bytes.slice(HEADER_BYTES),
  };
}
