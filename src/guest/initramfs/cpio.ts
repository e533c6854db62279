/**
 * Writes the archive format that a kernel unpacks as its first file system: cpio "newc"
 * (Linux Documentation/driver-api/early-userspace/buffer-format.rst). Equal entries give equal bytes.
 */
/** File types of st_mode (inode(7)). */
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const S_IFCHR = 0o020000;

/** c_magic of an archive without checksums. */
const MAGIC = "070701";
/** Every header and every file's data begin at a multiple of this, counted from the archive's start. */
const ALIGNMENT = 4;
/** Name of the entry that ends an archive. */
const TRAILER = "TRAILER!!!";
const NOTHING = new Uint8Array();

/** What an entry's header says; see c_mode, c_nlink, c_rmaj and c_rmin. */
interface EntryFields {
  readonly inode: number;
  readonly mode: number;
  readonly links: number;
  readonly device?: readonly [major: number, minor: number];
}

/** An archive that grows entry by entry. Paths are relative to the root, without a slash in front. */
export class CpioArchive {
  readonly #parts: Uint8Array[] = [];
  readonly #names = new Set<string>();
  readonly #folders = new Set<string>();
  #length = 0;

  /** A directory. Its own parent must be there before it. */
  directory(path: string, permissions = 0o755): void {
    this.#add(path, { mode: S_IFDIR | permissions, links: 2 });
    this.#folders.add(path);
  }

  /** A regular file. `data` is not copied until {@linkcode finish}. */
  file(path: string, data: Uint8Array, permissions = 0o644): void {
    this.#add(path, { mode: S_IFREG | permissions, links: 1 }, data);
  }

  /** A symbolic link to `target`. */
  symlink(path: string, target: string): void {
    if (target === "") throw new Error(`Link "${path}" leads nowhere: the format forbids it`);
    this.#add(path, { mode: S_IFLNK | 0o777, links: 1 }, new TextEncoder().encode(target));
  }

  /** A character device. */
  characterDevice(path: string, major: number, minor: number, permissions = 0o600): void {
    this.#add(path, { mode: S_IFCHR | permissions, links: 1, device: [major, minor] });
  }

  /** The archive with its end mark. Its length is a multiple of four. */
  finish(): Uint8Array<ArrayBuffer> {
    this.#write(TRAILER, { inode: 0, mode: 0, links: 1 }, NOTHING);
    const bytes = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }

  #add(path: string, fields: Omit<EntryFields, "inode">, data: Uint8Array = NOTHING): void {
    const slash = path.lastIndexOf("/");
    if (slash !== -1 && !this.#folders.has(path.slice(0, slash))) {
      // The kernel would leave the entry out without a word.
      throw new Error(`Entry "${path}" has no directory in the archive`);
    }
    if (path === "" || path.startsWith("/") || path.includes("\0") || this.#names.has(path)) {
      throw new Error(`Entry "${path}" is not a new relative path`);
    }
    this.#names.add(path);
    this.#write(path, { inode: this.#names.size, ...fields }, data);
  }

  #write(path: string, fields: EntryFields, data: Uint8Array): void {
    const name = new TextEncoder().encode(`${path}\0`);
    const [major, minor] = fields.device ?? [0, 0];
    const words = [fields.inode, fields.mode, 0, 0, fields.links, 0, data.length]
      .concat([0, 0, major, minor, name.length, 0]);
    this.#push(new TextEncoder().encode(MAGIC + words.map(hexWord).join("")));
    this.#push(name);
    this.#pad();
    this.#push(data);
    this.#pad();
  }

  #push(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }

  #pad(): void {
    this.#push(new Uint8Array(-this.#length & (ALIGNMENT - 1)));
  }
}

/** Eight hexadecimal digits. */
function hexWord(value: number): string {
  if (value > 0xffffffff) throw new Error(`${value} does not fit into a field of the archive`);
  return value.toString(16).padStart(8, "0");
}

/**
 * `archive` behind `initrd`, which may be compressed or not, and may itself be several archives. The kernel skips
 * zeros between archives and takes an uncompressed one only where the offset is a multiple of four
 * (unpack_to_rootfs() in init/initramfs.c). Four zeros are the least: the LZ4 format has no end mark, and its
 * decoder stops at a block of length zero (lib/decompress_unlz4.c).
 */
export function appendArchive(
  initrd: Uint8Array,
  archive: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const begin = initrd.length + ALIGNMENT + (-initrd.length & (ALIGNMENT - 1));
  const bytes = new Uint8Array(begin + archive.length);
  bytes.set(initrd);
  bytes.set(archive, begin);
  return bytes;
}
