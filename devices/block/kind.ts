/** virtio-block as configuration: `--disk PATH[,ro][,id=ID][,direct][,overlay][,queues=N]`. */
import {
  type Claim,
  type DeviceKind,
  FlagError,
  type Problem,
} from "../../src/virtio/device_kind.ts";
import { BLOCK_COUNTERS } from "./counts.ts";
import { MAX_OVERLAY_BYTES } from "./cluster_map.ts";
import { SECTOR_BYTES, VIRTIO_BLK_ID_BYTES } from "./abi.ts";

/** As many as a machine may have vCPUs: a driver uses one queue for each at most. */
const MAX_QUEUES = 32;

/** A disk. */
export interface BlockConfig {
  /** Tells the kinds of devices apart. */
  readonly kind: "block";
  /** A raw image or a block device. */
  readonly path: string;
  /** The guest may not write; others may read it at the same time. */
  readonly readOnly: boolean;
  /** O_DIRECT: past the host's page cache. */
  readonly direct: boolean;
  /**
   * The guest may write, and the file stays as it is: what is written goes to a nameless file in $TMPDIR or /var/tmp, and
   * is gone with the machine. Many machines may use the file so at the same time. `direct` is about the file alone.
   */
  readonly overlay?: boolean;
  /** What the guest reads as the disk's serial number; ASCII, at most 20 characters. */
  readonly id?: string;
  /** How the file is read and written; `auto` is io_uring where the host allows it. */
  readonly engine?: "auto" | "io_uring" | "sync";
  /** Request queues; 1 by default. More spare a guest with many vCPUs a lock, one for each vCPU at most. */
  readonly queues?: number;
}

export const blockKind: DeviceKind<BlockConfig> = {
  kind: "block",
  syntax: "PATH[,ro][,id=ID][,direct][,overlay][,queues=N]",

  counters: BLOCK_COUNTERS,

  parse(flag: string): BlockConfig {
    const [path = "", ...words] = flag.split(",");
    if (path === "") {
      throw new FlagError(`Cannot read disk "${flag}": it names no file`, "write --disk PATH[,ro]");
    }
    let readOnly = false;
    let direct = false;
    let overlay = false;
    let id: string | undefined;
    let queues: number | undefined;
    for (const word of words) {
      if (word === "ro") readOnly = true;
      else if (word === "direct") direct = true;
      else if (word === "overlay") overlay = true;
      else if (word.startsWith("id=")) id = word.slice(3);
      else if (/^queues=\d+$/.test(word)) queues = Number(word.slice(7));
      else {
        throw new FlagError(
          `Cannot read disk "${flag}": "${word}" is not one of ro, direct, overlay, id=ID, queues=N`,
          "a comma cannot be part of the path: rename the file, or use a link",
        );
      }
    }
    const optional = {
      ...(overlay ? { overlay } : {}),
      ...(id === undefined ? {} : { id }),
      ...(queues === undefined ? {} : { queues }),
    };
    return { kind: "block", path, readOnly, direct, ...optional };
  },

  check(config: BlockConfig, report: (problem: Problem) => void): void {
    const complain = (code: string, message: string, hint?: string) =>
      report({ field: "--disk", code, message, ...(hint === undefined ? {} : { hint }) });
    const { path, id } = config;
    if (id !== undefined && (id.length > VIRTIO_BLK_ID_BYTES || !/^[\x20-\x7e]+$/.test(id))) {
      complain(
        "DISK_ID",
        `Cannot use disk id "${id}": it must be 1 to ${VIRTIO_BLK_ID_BYTES} ASCII characters`,
      );
    }
    const { queues = 1 } = config;
    if (!Number.isInteger(queues) || queues < 1 || queues > MAX_QUEUES) {
      complain(
        "DISK_QUEUES",
        `Cannot give disk "${path}" ${queues} queues: it must be 1 to ${MAX_QUEUES}`,
        "give it one for each vCPU, or leave queues= out",
      );
    }
    const { readOnly, overlay = false } = config;
    if (readOnly && overlay) {
      complain(
        "DISK_OVERLAY_READ_ONLY",
        `Cannot give disk "${path}" an overlay: a guest that may not write needs none`,
        "leave out ro, or overlay",
      );
    }
    const stat = statOrComplain(path, complain);
    if (stat === undefined) return;
    if (overlay && stat.size > MAX_OVERLAY_BYTES) {
      complain(
        "DISK_OVERLAY_SIZE",
        `Cannot give disk "${path}" an overlay: it is larger than ${
          MAX_OVERLAY_BYTES / 2 ** 40
        } TiB`,
        "attach it read-only with ro",
      );
    }
    if (stat.isFile && (stat.size === 0 || stat.size % SECTOR_BYTES !== 0)) {
      complain(
        "DISK_SIZE",
        `Cannot use disk "${path}": its size of ${stat.size} bytes is not a multiple of ${SECTOR_BYTES}` +
          (stat.size === 0 ? ", it is empty" : ""),
        `make it one: truncate -s ${Math.max(1, Math.ceil(stat.size / 2 ** 20))}M "${path}"`,
      );
    }
    const refusal = readOnly || overlay ? undefined : writeRefusal(path);
    if (refusal !== undefined) {
      complain(
        "DISK_WRITE_PROTECTED",
        `Cannot write disk "${path}": ${refusal}`,
        `attach it with --disk ${path},overlay or --disk ${path},ro, or change its permissions`,
      );
    }
  },

  claims(config: BlockConfig): readonly Claim[] {
    try {
      const { dev, ino } = Deno.statSync(config.path);
      const resource = `file:${dev}:${ino}`;
      const alone = !config.readOnly && config.overlay !== true;
      return [{ resource, description: `disk "${config.path}"`, alone }];
    } catch {
      return []; // `check` has said what is wrong with the path
    }
  },
};

type Complain = (code: string, message: string, hint?: string) => void;

function statOrComplain(path: string, complain: Complain): Deno.FileInfo | undefined {
  let stat: Deno.FileInfo;
  try {
    stat = Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      complain(
        "DISK_NOT_FOUND",
        `Cannot find disk "${path}"`,
        `make an empty one: truncate -s 1G "${path}"`,
      );
    } else {
      complain("DISK_ACCESS", `Cannot look at disk "${path}": ${words(error)}`);
    }
    return undefined;
  }
  if (stat.isDirectory) {
    complain(
      "DISK_IS_DIRECTORY",
      `Cannot use "${path}" as a disk: it is a directory`,
      `make an image of it: mke2fs -d "${path}" -t ext4 disk.img 1G`,
    );
    return undefined;
  }
  if (!stat.isFile && stat.isBlockDevice !== true) {
    complain(
      "DISK_KIND",
      `Cannot use "${path}" as a disk: it is neither a file nor a block device`,
    );
    return undefined;
  }
  try {
    Deno.openSync(path, { read: true }).close();
  } catch (error) {
    complain(
      "DISK_ACCESS",
      `Cannot read disk "${path}": ${words(error)}`,
      "change its permissions",
    );
    return undefined;
  }
  return stat;
}

/** Why `path` cannot be opened for writing, in words. */
function writeRefusal(path: string): string | undefined {
  try {
    Deno.openSync(path, { read: true, write: true }).close();
    return undefined;
  } catch (error) {
    return words(error);
  }
}

function words(error: unknown): string {
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  return error instanceof Error ? error.message : String(error);
}
