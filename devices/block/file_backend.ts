/** Opens a disk image or block device with the best engine the host has. */
import type { EventLoop } from "../../src/loop/event_loop.ts";
import { DiskFile, type DiskFileOptions } from "../../src/sys/disk_file.ts";
import { SysError } from "../../src/sys/sys_error.ts";
import type { BlockBackend } from "./backend.ts";
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
}

/** Throws SysError when the file, or the engine asked for, cannot be had. */
export function openFileBackend(options: FileBackendOptions, loop: EventLoop): BlockBackend {
  const file = new DiskFile(options);
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
