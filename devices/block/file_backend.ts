/** Opens a disk image or block device with the best engine the host has. */
import type { EventLoop } from "../../src/loop/event_loop.ts";
import { DiskFile, type DiskFileOptions, openDisk } from "../../src/sys/disk_file.ts";
import type { FdNumber } from "../../src/sys/fd.ts";
import { Mapping } from "../../src/sys/mmap.ts";
import { openScratchFile, scratchDirectory } from "../../src/sys/scratch_file.ts";
import { SysError } from "../../src/sys/sys_error.ts";
import { SECTOR_BYTES } from "./abi.ts";
import type { BlockBackend } from "./backend.ts";
import { ClusterMap } from "./cluster_map.ts";
import { CopyMemory, copyMemoryBytes } from "./copy_memory.ts";
import { OverlayBackend } from "./overlay_backend.ts";
import { SyncBackend } from "./sync_backend.ts";
import { UringBackend } from "./uring_backend.ts";

/** Which file, and how it is read and written. */
export interface FileBackendOptions extends DiskFileOptions {
  /**
   * `auto`, the default, is io_uring where the host allows it, and plain calls for a file in memory: io_uring hands
   * those to kernel threads, which costs more than the copy that they are.
   */
  readonly engine?: "auto" | "io_uring" | "sync";
  /** The most operations there can be at once; a power of two or not. */
  readonly operations?: number;
  /** The file, opened with `openDisk` by somebody who keeps it; it is opened here when left out. */
  readonly opened?: number | undefined;
  /** The file is only read, whatever `readOnly` says: what is written goes to a scratch file and is gone afterwards. */
  readonly overlay?: boolean;
}

/** The directory where what is written to an overlay goes; undefined for a disk without one. */
export function scratchOf({ overlay }: { readonly overlay?: boolean }): string | undefined {
  return overlay === true ? scratchDirectory() : undefined;
}

/** Throws SysError when the file, or the engine asked for, cannot be had, or there is no place for an overlay. */
export function openFileBackend(options: FileBackendOptions, loop: EventLoop): BlockBackend {
  if (options.overlay !== true) return openEngine(options, loop);
  const base = openEngine({ ...options, readOnly: true }, loop);
  try {
    return new OverlayBackend(base, ...overlayParts(base.sectors * SECTOR_BYTES, options, loop));
  } catch (error) {
    base.close();
    throw error;
  }
}

function openEngine(options: FileBackendOptions, loop: EventLoop): BlockBackend {
  const { opened } = options;
  const fd = opened === undefined ? openDisk(options) : opened as FdNumber;
  const file = new DiskFile(fd, options.readOnly);
  const { engine = "auto" } = options;
  if (engine === "sync" || (engine === "auto" && file.isMemory)) {
    return new SyncBackend(file, options.readOnly);
  }
  try {
    return new UringBackend(file, options.readOnly, loop, options.operations ?? 256);
  } catch (error) {
    if (engine !== "io_uring" && error instanceof SysError) {
      return new SyncBackend(file, options.readOnly);
    }
    file[Symbol.dispose]();
    throw error;
  }
}

/** The scratch, the map and the memory of an overlay over a disk of `bytes`. */
function overlayParts(
  bytes: number,
  options: FileBackendOptions,
  loop: EventLoop,
): [scratch: BlockBackend, map: ClusterMap, memory: CopyMemory] {
  using file = openScratchFile(scratchDirectory(), bytes);
  // It has no other name. It is written through the page cache: temporary directories often have nothing else.
  const path = `/proc/self/fd/${file.number}`;
  const place = { path, opened: undefined, readOnly: false, direct: false };
  const scratch = openEngine({ ...options, ...place }, loop);
  const map = new ClusterMap(bytes);
  const mapping = Mapping.anonymous(copyMemoryBytes(map.clusterBytes), "an overlay's copies");
  const memory = {
    address: mapping.address,
    release: (inUse: boolean) => inUse ? mapping.abandon() : mapping.unmap(),
  };
  return [scratch, map, new CopyMemory(memory, map.clusterBytes)];
}
