/** What every backend over a disk file shares: its geometry, and how ranges of it are made to read as zeroes. */
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
} from "../../src/abi/linux.ts";
import type { DiskFile } from "../../src/sys/disk_file.ts";
import { errnoName, errnoWords } from "../../src/sys/sys_error.ts";
import { SECTOR_BYTES } from "./abi.ts";
import type { DiskOperation } from "./backend.ts";

/** fallocate modes. Either makes a range read as zeroes; a file system may have one and not the other. */
export const PUNCH: number = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
export const ZERO: number = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
export const EOPNOTSUPP = 95;

/**
 * In words for people; `errno` 0: the file ended before the disk did. `scratch`: the directory of the disk's overlay,
 * where all but reading takes place.
 */
export function diskFailure(
  path: string,
  operation: DiskOperation,
  errno: number,
  scratch?: string,
): string {
  const reason = errno === 0
    ? "the file has become shorter"
    : `${errnoWords(errno)} (${errnoName(errno)})`;
  const place = scratch === undefined ? "" : ` or its overlay in "${scratch}"`;
  return `Cannot ${operation} disk "${path}"${place}: ${reason}`;
}

/** The mode to zero a range with, and the one to try when that is not supported. */
export function zeroingModes(
  mayUnmap: boolean,
): { readonly first: number; readonly second: number } {
  return mayUnmap ? { first: PUNCH, second: ZERO } : { first: ZERO, second: PUNCH };
}

/** The geometry half of a `BlockBackend`. */
export abstract class DiskBackend {
  readonly sectors: number;
  readonly readOnly: boolean;
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
  protected readonly file: DiskFile;

  /** Takes over `file`. */
  constructor(file: DiskFile, readOnly: boolean) {
    this.file = file;
    this.readOnly = readOnly;
    this.sectors = Math.floor(file.bytes / SECTOR_BYTES);
    this.logicalBlockBytes = file.logicalBlockBytes;
    this.physicalBlockBytes = file.physicalBlockBytes;
    this.canDiscard = file.canPunch;
    this.canWriteZeroes = file.canPunch;
  }
}
