/** What a virtio-block device says of itself: its features and its config space (spec 5.2.3, 5.2.4). */
import {
  BLOCK_CONFIG as CONFIG,
  SECTOR_BYTES,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_TOPOLOGY,
  VIRTIO_BLK_F_WRITE_ZEROES,
} from "./abi.ts";
import type { BlockBackend } from "./backend.ts";
import { MAX_RANGE_SECTORS, MAX_RANGES } from "./ranges.ts";

/** Chains of one queue, and so requests of it that can be in flight. */
export const QUEUE_SIZE = 256;
/** A request is a header, data and a status: with direct descriptors this much data fits the queue. */
const SEG_MAX = QUEUE_SIZE - 2;

/** What a disk behind `backend` with `queues` queues offers. */
export function blockFeatures(backend: BlockBackend, queues: number): bigint {
  return VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH |
    VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_CONFIG_WCE |
    (queues > 1 ? VIRTIO_BLK_F_MQ : 0n) | (backend.readOnly ? VIRTIO_BLK_F_RO : 0n) |
    (backend.canDiscard ? VIRTIO_BLK_F_DISCARD : 0n) |
    (backend.canWriteZeroes ? VIRTIO_BLK_F_WRITE_ZEROES : 0n);
}

/** Its config space, as it begins: write-back. */
export function fillBlockConfig(view: DataView, backend: BlockBackend, queues: number): void {
  const { sectors, logicalBlockBytes, physicalBlockBytes, canDiscard, canWriteZeroes } = backend;
  const at = CONFIG.at;
  view.setBigUint64(at.capacity, BigInt(sectors), true);
  view.setUint32(at.seg_max, SEG_MAX, true);
  view.setUint32(at.blk_size, logicalBlockBytes, true);
  view.setUint8(at.physical_block_exp, Math.log2(physicalBlockBytes / logicalBlockBytes));
  view.setUint16(at.min_io_size, physicalBlockBytes / logicalBlockBytes, true);
  view.setUint8(at.wce, 1);
  if (queues > 1) view.setUint16(at.num_queues, queues, true);
  if (canDiscard) {
    view.setUint32(at.max_discard_sectors, MAX_RANGE_SECTORS, true);
    view.setUint32(at.max_discard_seg, MAX_RANGES, true);
    view.setUint32(at.discard_sector_alignment, logicalBlockBytes / SECTOR_BYTES, true);
  }
  if (canWriteZeroes) {
    view.setUint32(at.max_write_zeroes_sectors, MAX_RANGE_SECTORS, true);
    view.setUint32(at.max_write_zeroes_seg, MAX_RANGES, true);
    view.setUint8(at.write_zeroes_may_unmap, canDiscard ? 1 : 0); // BLK-23
  }
}
