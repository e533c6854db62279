/** virtio-block numbers (spec 5.2; include/uapi/linux/virtio_blk.h). */
import { struct, u16, u32, u64, u8 } from "../../src/abi/struct.ts";

export const VIRTIO_BLK_F_SEG_MAX: bigint = 1n << 2n;
export const VIRTIO_BLK_F_RO: bigint = 1n << 5n;
export const VIRTIO_BLK_F_BLK_SIZE: bigint = 1n << 6n;
export const VIRTIO_BLK_F_FLUSH: bigint = 1n << 9n;
export const VIRTIO_BLK_F_TOPOLOGY: bigint = 1n << 10n;
export const VIRTIO_BLK_F_CONFIG_WCE: bigint = 1n << 11n;
export const VIRTIO_BLK_F_MQ: bigint = 1n << 12n;
export const VIRTIO_BLK_F_DISCARD: bigint = 1n << 13n;
export const VIRTIO_BLK_F_WRITE_ZEROES: bigint = 1n << 14n;

export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_FLUSH = 4;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_DISCARD = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES = 13;

export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;

export const VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP = 1;
export const VIRTIO_BLK_ID_BYTES = 20;
/** struct virtio_blk_outhdr: type u32, ioprio u32, sector u64. */
export const REQUEST_HEADER_BYTES = 16;
/** struct virtio_blk_discard_write_zeroes: sector u64, num_sectors u32, flags u32. */
export const SEGMENT_BYTES = 16;
export const SECTOR_BYTES = 512;

/** The fields we fill, with the C names flattened; the zoned tail is not offered. */
export const BLOCK_CONFIG = struct("", {
  capacity: u64,
  size_max: u32,
  seg_max: u32,
  cylinders: u16,
  heads: u8,
  sectors: u8,
  blk_size: u32,
  physical_block_exp: u8,
  alignment_offset: u8,
  min_io_size: u16,
  opt_io_size: u32,
  wce: u8,
  unused: u8,
  num_queues: u16,
  max_discard_sectors: u32,
  max_discard_seg: u32,
  discard_sector_alignment: u32,
  max_write_zeroes_sectors: u32,
  max_write_zeroes_seg: u32,
  write_zeroes_may_unmap: u8,
});
/** Up to and including unused1: what a driver of these features may read. */
export const BLOCK_CONFIG_BYTES = 60;
