/** What a disk needs of the host before the guest runs: its file, which another machine may have locked. */
import { openDisk } from "../../src/sys/disk_file.ts";
import type { OwnedFd } from "../../src/sys/fd.ts";
import type { BlockConfig } from "./kind.ts";

/** Undefined for a disk with an overlay: that needs more than its file, and its maker sees to all of it. */
export function blockOpener(config: BlockConfig): (() => OwnedFd) | undefined {
  return config.overlay === true ? undefined : () => openDisk(config);
}
