/** What `debugfs -w -f` (e2fsprogs) is told to do to a new image: all that only root may do to files of the host. */
import { ImageError } from "./errors.ts";
import type { Attributes, Node } from "./tree.ts";

/** It reads lines into a buffer of BUFSIZ bytes; what is longer would become another command. */
const MAX_LINE_BYTES = 8000;
/** Times are written as 32 bits, signed. */
const MAX_TIME = 2 ** 31 - 1;

/** Bits of a mode that say what a file is: stat(2). */
const TYPE_BITS: Readonly<Record<Node["kind"], number>> = {
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
};

const encoder = new TextEncoder();

/** Commands, one a line. Paths are those of the image, absolute. */
export class DebugfsScript {
  readonly #lines: string[] = [];

  /** All of it. */
  get text(): string {
    return this.#lines.map((line) => `${line}\n`).join("");
  }

  #add(...words: readonly string[]): void {
    const line = words.join(" ");
    // The names have been checked; nothing but this keeps an archive from giving commands, so look again.
    if (/[\0\n\r]/.test(line) || encoder.encode(line).length > MAX_LINE_BYTES) {
      throw new ImageError(
        `Cannot put ${JSON.stringify(words[1]?.slice(0, 60))} into an image: its path is too long`,
        "ROOTFS_ENTRY",
      );
    }
    this.#lines.push(line);
  }

  /** Goes to the directory of a path, for commands that take a name only. Returns that name. */
  #enter(path: string): string {
    const slash = path.lastIndexOf("/");
    this.#add("cd", quoted(path.slice(0, slash) || "/"));
    return quoted(path.slice(slash + 1));
  }

  /** Removes an empty directory. */
  removeDirectory(path: string): void {
    this.#add("rmdir", this.#enter(path));
  }

  /** Makes a directory. */
  makeDirectory(path: string): void {
    this.#add("mkdir", this.#enter(path));
  }

  /** Copies a file of the host. */
  writeFile(path: string, from: string): void {
    const name = this.#enter(path);
    this.#add("write", quoted(from), name);
  }

  /** Makes a device or a fifo. */
  makeSpecial(
    path: string,
    kind: "character" | "block" | "fifo",
    major: number,
    minor: number,
  ): void {
    const name = this.#enter(path);
    if (kind === "fifo") this.#add("mknod", name, "p");
    else this.#add("mknod", name, kind === "block" ? "b" : "c", String(major), String(minor));
  }

  /** Sets owner, mode and times, as only root could. */
  setAttributes(path: string, kind: Node["kind"], { mode, uid, gid, mtime }: Attributes): void {
    const time = `@${Math.min(Math.max(0, mtime), MAX_TIME)}`;
    this.setField(path, "mode", `0${(TYPE_BITS[kind] | mode & 0o7777).toString(8)}`);
    this.setOwner(path, uid, gid);
    for (const field of ["atime", "ctime", "mtime"]) this.setField(path, field, time);
  }

  /** Sets user and group. */
  setOwner(path: string, uid: number, gid: number): void {
    this.setField(path, "uid", String(uid));
    this.setField(path, "gid", String(gid));
  }

  /** Sets one field of an inode. */
  setField(path: string, field: string, value: string): void {
    this.#add("set_inode_field", quoted(path), field, value);
  }

  /** Sets an extended attribute to the contents of a file of the host. */
  setXattr(path: string, name: string, from: string): void {
    this.#add("ea_set", "-f", quoted(from), quoted(path), quoted(name));
  }
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}
