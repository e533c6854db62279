/**
 * Makes an ext4 image of a directory by e2fsprogs, and has debugfs do in it what only root could do to the directory.
 */
import { BUILD_ENVIRONMENT, type BuildLog } from "../build_log.ts";
import { GuestBuildError } from "../errors.ts";
import { ImageError } from "./errors.ts";

const BLOCK_BYTES = 4096;
const INODE_BYTES = 256;
const MIB = 2 ** 20;
/** What a root has at least, and what is left free of it: an image is a file with holes, so room costs nothing. */
const LEAST_BYTES = 1024 * MIB;
const FREE_BYTES = 512 * MIB;
/** For what the file system itself needs. */
const OVERHEAD = 1.2;
/** One inode for so many bytes, as mke2fs has it; and a few more than there are files. */
const BYTES_PER_INODE = 16_384;
const FREE_INODES = 10_000;

/**
 * No journal and no checksums: a guest's writes go away with it, and both cost a guest time whose kernel is emulated.
 * Named one by one, so that every mke2fs makes the same.
 */
const FEATURES = [
  ...["none", "dir_index", "dir_nlink", "ext_attr", "extent", "extra_isize", "filetype", "flex_bg"],
  ...["huge_file", "large_file", "sparse_super", "uninit_bg"],
].join(",");

/** A fixed identity, so that equal contents give equal images. */
const IMAGE_UUID = "d1905150-0000-4000-8000-000000000002";

/** What debugfs says when all is well: the commands themselves, and where it has put something. */
const DEBUGFS_CHATTER = /^(?:debugfs: |debugfs 1\.|Allocated inode: |$)/;

/** How much is in a tree. */
export interface Contents {
  /** Of all files, in whole blocks. */
  readonly bytes: number;
  /** Files, directories and so on. */
  readonly names: number;
}

/** What an image is made of. */
export interface Ext4Source {
  /** What is packed; it is not changed. */
  readonly directory: string;
  /** Commands for debugfs. */
  readonly script: string;
  readonly contents: Contents;
  /** Size of the file system; undefined: what is sensible for the contents. */
  readonly bytes: number | undefined;
}

/** Bytes a file takes. */
export function blocksOf(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/** The size of an image for these contents: at least 1 GiB, with 512 MiB to spare. */
export function imageBytes({ bytes, names }: Contents): number {
  const needed = bytes * OVERHEAD + names * INODE_BYTES + FREE_BYTES;
  return Math.ceil(Math.max(LEAST_BYTES, needed) / MIB) * MIB;
}

/**
 * Makes the image in `scratch` and returns its path.
 *
 * @throws {ImageError} ROOTFS_TOO_BIG when the contents do not fit
 * @throws {GuestBuildError} when a program fails
 */
export async function makeExt4(
  source: Ext4Source,
  { scratch, log, signal }: {
    readonly scratch: string;
    readonly log: BuildLog;
    readonly signal: AbortSignal | undefined;
  },
): Promise<string> {
  const { contents, directory } = source;
  const bytes = source.bytes ?? imageBytes(contents);
  if (contents.bytes + contents.names * INODE_BYTES > bytes) throw tooSmall(contents, bytes);
  const inodes = Math.max(
    Math.ceil(bytes / BYTES_PER_INODE),
    Math.ceil(contents.names * OVERHEAD) + FREE_INODES,
  );
  const image = `${scratch}/root.ext4`;
  const environment = { ...BUILD_ENVIRONMENT, E2FSPROGS_FAKE_TIME: "1" };
  const options = { directory: scratch, environment, signal };
  const shape = ["-t", "ext4", "-O", FEATURES, "-b", `${BLOCK_BYTES}`, "-I", `${INODE_BYTES}`];
  const rest = ["-m", "0", "-N", `${inodes}`, "-U", IMAGE_UUID];
  const extended = `root_owner=0:0,hash_seed=${IMAGE_UUID}`;
  try {
    await log.run(
      ["mke2fs", "-q", "-F", ...shape, ...rest, "-E", extended, "-d", directory, image]
        .concat(`${Math.ceil(bytes / 1024)}k`),
      options,
    );
  } catch (error) {
    const isFull = error instanceof GuestBuildError && /no free space|Could not allocate/i
      .test(error.logTail ?? "");
    throw isFull ? tooSmall(contents, bytes) : error;
  }
  const script = `${scratch}/script`;
  await Deno.writeTextFile(script, source.script);
  // It ends with 0 whatever happens; but it says what does.
  let complaint: string | undefined;
  await log.run(["debugfs", "-w", "-f", script, image], {
    ...options,
    unlogged: DEBUGFS_CHATTER,
    onLine: (line) => {
      if (!DEBUGFS_CHATTER.test(line)) complaint ??= line;
    },
  });
  if (complaint !== undefined) {
    if (/no free space|Could not allocate/i.test(complaint)) throw tooSmall(contents, bytes);
    throw new GuestBuildError(`Cannot finish the root image: ${complaint}`, "GUEST_COMMAND", {
      logTail: log.tail,
    });
  }
  return image;
}

function tooSmall(contents: Contents, bytes: number): ImageError {
  return new ImageError(
    `Cannot put ${Math.ceil(contents.bytes / MIB)} MiB in ${contents.names} files into an image ` +
      `of ${Math.floor(bytes / MIB)} MiB`,
    "ROOTFS_TOO_BIG",
    { hint: "give it more by size, or leave size out" },
  );
}
