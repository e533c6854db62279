/** The payload of DISCARD and WRITE_ZEROES (spec 5.2.6): an array of {sector, num_sectors, flags}. */
import type { ChainReader } from "../../src/virtio/chain.ts";
import {
  SECTOR_BYTES,
  SEGMENT_BYTES,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
} from "./abi.ts";

/** Ranges per request, as crosvm; a driver that wants more sends more requests. */
export const MAX_RANGES = 32;
/** 2 GiB a range: what one host call zeroes in bounded time. */
export const MAX_RANGE_SECTORS = 0x3f_ffff;

/** Bytes of the disk to be changed; not empty. */
export interface Range {
  readonly offset: number;
  readonly length: number;
  readonly mayUnmap: boolean;
}

/**
 * Reads and checks all ranges before the first is changed (BLK-24). Returns the status to answer instead when
 * one is not acceptable: UNSUPP for unknown flags and for unmap in a discard (BLK-18, BLK-19), else IOERR.
 */
export function readRanges(
  reader: ChainReader,
  isDiscard: boolean,
  diskSectors: number,
): Range[] | number {
  const count = reader.remaining / SEGMENT_BYTES;
  if (!Number.isInteger(count) || count === 0 || count > MAX_RANGES) return VIRTIO_BLK_S_IOERR;
  const allowedFlags = isDiscard ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
  const ranges: Range[] = [];
  for (let i = 0; i < count; i++) {
    const low = reader.u32();
    const high = reader.u32();
    const sectors = reader.u32();
    const flags = reader.u32();
    if ((flags & ~allowedFlags) !== 0) return VIRTIO_BLK_S_UNSUPP;
    const sector = high * 0x1_0000_0000 + low; // rounding above 2**53 cannot bring it below the disk's end
    if (sectors > MAX_RANGE_SECTORS || sector + sectors > diskSectors) return VIRTIO_BLK_S_IOERR;
    if (sectors === 0) continue; // nothing, never "the whole disk" (BLK-25)
    ranges.push({
      offset: sector * SECTOR_BYTES,
      length: sectors * SECTOR_BYTES,
      mayUnmap: flags !== 0,
    });
  }
  return ranges;
}
