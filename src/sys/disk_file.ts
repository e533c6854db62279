/** A disk image or block device opened for I/O: its geometry, and synchronous calls on it. Used by block backends. */
import {
  BLKGETSIZE64,
  BLKPBSZGET,
  BLKSSZGET,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  HUGETLBFS_MAGIC,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  O_DIRECT,
  O_RDONLY,
  O_RDWR,
  RAMFS_MAGIC,
  statfs,
  TMPFS_MAGIC,
} from "../abi/linux.ts";
import { type FdNumber, openFile, OwnedFd } from "./fd.ts";
import { errno, libc } from "./libc.ts";
import { check, EAGAIN, EOPNOTSUPP, SysError } from "./sys_error.ts";

/** How to open it. */
export interface DiskFileOptions {
  readonly path: string;
  readonly readOnly: boolean;
  /** O_DIRECT: past the host's page cache. */
  readonly direct: boolean;
}

const MEMORY_FILE_SYSTEMS = [TMPFS_MAGIC, RAMFS_MAGIC, HUGETLBFS_MAGIC];
/** Of brd, zram and pmem (Linux, drivers/block and drivers/nvdimm). */
const MEMORY_DEVICES = /^(?:ram|zram|pmem)\d/;

/**
 * Opens a disk. Writers hold an exclusive lock, readers a shared one, against other monitors (flock). Throws SysError:
 * EACCES, EROFS, EINVAL (no O_DIRECT there), EAGAIN (locked by another process).
 */
export function openDisk({ path, readOnly, direct }: DiskFileOptions): OwnedFd {
  const fd = openFile(path, (readOnly ? O_RDONLY : O_RDWR) | (direct ? O_DIRECT : 0));
  try {
    lock(fd.number, path, readOnly);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

function lock(fd: FdNumber, path: string, readOnly: boolean): void {
  if (libc().flock(fd, (readOnly ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return;
  const number = errno();
  // Some file systems know no locks; a lock that cannot be had is no reason not to run there.
  if (number !== EAGAIN) return;
  throw new SysError(
    `lock "${path}"`,
    number,
    "another machine uses it: give each its own copy, or let all open it with ,ro or ,overlay",
  );
}

/** A disk that has been opened. */
export class DiskFile implements Disposable {
  readonly fd: FdNumber;
  readonly #owned: OwnedFd | undefined;
  readonly bytes: number;
  readonly logicalBlockBytes: number;
  readonly physicalBlockBytes: number;
  /** Whether it lies in memory (tmpfs, zram, and their kin): reading and writing it is copying, and never waits. */
  readonly isMemory: boolean;
  /** Whether holes can be punched: decides DISCARD. */
  readonly canPunch: boolean;

  /** Takes over an OwnedFd, borrows a number. Throws SysError; what it has taken over is closed then. */
  constructor(fd: OwnedFd | FdNumber, readOnly: boolean) {
    this.#owned = typeof fd === "number" ? undefined : fd;
    this.fd = typeof fd === "number" ? fd : fd.number;
    try {
      const stat = Deno.statSync(`/proc/self/fd/${this.fd}`); // of what was opened, whatever the path is now
      if (stat.isBlockDevice === true) {
        this.bytes = this.#deviceNumber(BLKGETSIZE64, 8);
        this.logicalBlockBytes = this.#deviceNumber(BLKSSZGET, 4);
        this.physicalBlockBytes = this.#deviceNumber(BLKPBSZGET, 4);
      } else {
        this.bytes = stat.size;
        this.logicalBlockBytes = 512;
        this.physicalBlockBytes = 4096; // pages: what the host's cache reads and writes
      }
      // The node of a block device lies in devtmpfs, its data do not.
      this.isMemory = stat.isBlockDevice === true
        ? MEMORY_DEVICES.test(deviceName(stat.rdev))
        : MEMORY_FILE_SYSTEMS.includes(this.#fileSystem());
      this.canPunch = !readOnly && this.#probePunch();
    } catch (error) {
      this.#owned?.close();
      throw error;
    }
  }

  /** f_type of statfs(2); 0 where it cannot be had. */
  #fileSystem(): number {
    const bytes = new Uint8Array(statfs.size);
    if (libc().fstatfs(this.fd, bytes) !== 0) return 0;
    return new DataView(bytes.buffer).getUint32(statfs.at.f_type, true);
  }

  #deviceNumber(request: number, size: 4 | 8): number {
    const bytes = new Uint8Array(8);
    check(libc().ioctl_buffer(this.fd, request, bytes), "block device ioctl");
    const view = new DataView(bytes.buffer);
    return size === 8 ? Number(view.getBigUint64(0, true)) : view.getUint32(0, true);
  }

  /** Punching behind the end changes nothing, and fails where punching is not supported. */
  #probePunch(): boolean {
    const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    const end = Math.ceil(this.bytes / 4096) * 4096;
    if (libc().fallocate(this.fd, mode, BigInt(end), 4096n) === 0) return true;
    return errno() !== EOPNOTSUPP; // block devices refuse the range, not the operation
  }

  [Symbol.dispose](): void {
    this.#owned?.close();
  }
}

/** What the kernel calls the block device with the number `device` (st_rdev); empty where sysfs does not say. */
function deviceName(device: number | null): string {
  if (device === null) return "";
  // include/linux/kdev_t.h, new_decode_dev: the major number's 12 bits stand between 8 and 12 of the minor's.
  const [major, minor] = [(device >>> 8) & 0xfff, (device & 0xff) | ((device >>> 12) & 0xfff00)];
  try {
    const target = Deno.readLinkSync(`/sys/dev/block/${major}:${minor}`);
    return target.slice(target.lastIndexOf("/") + 1);
  } catch {
    return "";
  }
}

/** preadv at `offset`: bytes read, or -errno. */
export function readVectors(
  fd: FdNumber,
  iovecs: Uint32Array<ArrayBuffer>,
  count: number,
  offset: number,
): number {
  const result = libc().preadv(fd, asBytes(iovecs), count, BigInt(offset));
  return result === -1 ? -errno() : result;
}

/** pwritev2 at `offset` with RWF_* `flags`: bytes written, or -errno. */
export function writeVectors(
  fd: FdNumber,
  iovecs: Uint32Array<ArrayBuffer>,
  count: number,
  offset: number,
  flags: number,
): number {
  const result = libc().pwritev2(fd, asBytes(iovecs), count, BigInt(offset), flags);
  return result === -1 ? -errno() : result;
}

/** fdatasync: 0 or -errno. */
export function syncData(fd: FdNumber): number {
  return libc().fdatasync(fd) === -1 ? -errno() : 0;
}

/** fallocate: 0 or -errno. */
export function allocate(fd: FdNumber, mode: number, offset: number, length: number): number {
  return libc().fallocate(fd, mode, BigInt(offset), BigInt(length)) === -1 ? -errno() : 0;
}

function asBytes(words: Uint32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(words.buffer);
}
