/** Block requests as a driver writes them (spec 5.2.6). */
import {
  SECTOR_BYTES,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
} from "../../devices/block/abi.ts";
import { assertEquals } from "../../src/std/assert.ts";
import type { FakeDisk } from "./fake_disk.ts";
import { concat, littleEndian } from "./guest_ram.ts";
import type { Answer, RequestBytes } from "./mock_driver.ts";
import type { Request } from "./test_stand.ts";

/** Random-looking, since the device must ignore it (BLK-42). */
const RESERVED = 0xfeed_beef;

/** struct virtio_blk_outhdr. */
export function blockHeader(type: number, sector: number | bigint = 0): Uint8Array {
  return concat(littleEndian(type, 4), littleEndian(RESERVED, 4), littleEndian(sector, 8));
}

/** IN: room for `bytes` of data and the status. */
export function blockRead(sector: number | bigint, bytes: number): RequestBytes {
  return { readable: blockHeader(VIRTIO_BLK_T_IN, sector), writable: bytes + 1 };
}

/** OUT. */
export function blockWrite(sector: number | bigint, data: Uint8Array): RequestBytes {
  return { readable: concat(blockHeader(VIRTIO_BLK_T_OUT, sector), data), writable: 1 };
}

/** Any other type, with an optional payload. */
export function blockCommand(type: number, payload: Uint8Array = new Uint8Array()): RequestBytes {
  return { readable: concat(blockHeader(type), payload), writable: 1 };
}

/** One segment of a discard or write-zeroes payload. */
export function blockRange(sector: number | bigint, sectors: number, flags = 0): Uint8Array {
  return concat(littleEndian(sector, 8), littleEndian(sectors, 4), littleEndian(flags, 4));
}

/** The status: the last writable byte. */
export function blockStatus({ response }: Answer): number | undefined {
  return response.at(-1);
}

/** An IN request that checks itself against `expected`. */
export function blockReadRequest(sector: number, expected: Uint8Array): Request {
  return {
    ...blockRead(sector, expected.length),
    check: (answer) => {
      assertEquals(blockStatus(answer), VIRTIO_BLK_S_OK);
      assertEquals(answer.response.slice(0, -1), Uint8Array.from(expected));
      assertEquals(answer.usedLength, expected.length + 1);
    },
  };
}

/** A copy of `count` sectors as reads see them. */
export function sectorsOf(disk: FakeDisk, first: number, count: number): Uint8Array<ArrayBuffer> {
  return disk.bytes.slice(first * SECTOR_BYTES, (first + count) * SECTOR_BYTES);
}
