/** A file as a block device of the host's: its I/O takes the way of a real disk's, its speed can be that of memory. */
import { DiskDirectory } from "./disk_image.ts";

const MIB = 2 ** 20;

/** What losetup(8) printed. Throws with what it said. */
function losetup(...args: readonly string[]): string {
  const { success, stdout, stderr } = new Deno.Command("losetup", { args: [...args] })
    .outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr).trim());
  return new TextDecoder().decode(stdout).trim();
}

/** Why there can be none here; undefined when there can. */
export function loopRefusal(): string | undefined {
  using directory = new DiskDirectory("fast");
  try {
    new LoopDevice(directory.empty("disk.img", MIB))[Symbol.dispose]();
    return undefined;
  } catch (error) {
    return `a file cannot become a block device here: ${
      error instanceof Error ? error.message : error
    }`;
  }
}

/** Its end is the device's, not the file's. */
export class LoopDevice implements Disposable {
  readonly path: string;

  /** Past the page cache of the file's own system, or every block would lie in memory twice. */
  constructor(image: string) {
    this.path = losetup("--find", "--show", "--direct-io=on", image);
  }

  [Symbol.dispose](): void {
    losetup("--detach", this.path);
  }
}
