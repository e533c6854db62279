/**
 * A root file system in memory, but for the contents of its files: layers are put on it one by one, and names in them
 * only ever lead to something in it. Nothing of the host is touched before the tree is whole.
 */
import { ImageError } from "./errors.ts";

/** How many symbolic links one path may lead through (MAXSYMLINKS of Linux). */
const MAX_LINKS = 40;

/** Names in all layers together, those of directories that are only in others' names included. */
const MAX_NAMES = 2_000_000;

/** What every file has. */
export interface Attributes {
  /** Permission bits, set-user-id and so on: 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** Extended attributes by their full names. */
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** A name in a directory. */
export interface Child {
  readonly node: Node;
  /** The last layer that has it, or something in it. */
  layer: number;
}

/** A directory. */
export interface Directory {
  readonly kind: "directory";
  attributes: Attributes;
  readonly children: Map<string, Child>;
}

/** A file with contents, under one name or more. */
export interface RegularFile {
  readonly kind: "file";
  readonly attributes: Attributes;
  /** Path of the contents, on the host; undefined: there are none. */
  readonly content: string | undefined;
  readonly bytes: number;
}

/** A symbolic link. */
export interface SymbolicLink {
  readonly kind: "symlink";
  readonly attributes: Attributes;
  readonly target: string;
}

/** A device, or a fifo. */
export interface Special {
  readonly kind: "character" | "block" | "fifo";
  readonly attributes: Attributes;
  readonly major: number;
  readonly minor: number;
}

export type Node = Directory | RegularFile | SymbolicLink | Special;

/** What directories have that nobody has described. */
export const DIRECTORY_ATTRIBUTES: Attributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: 0,
  xattrs: new Map(),
};

/** An empty directory. */
export function newDirectory(attributes: Attributes = DIRECTORY_ATTRIBUTES): Directory {
  return { kind: "directory", attributes, children: new Map() };
}

/** A whole root file system. Paths are parts without "..", as `entryParts` makes them. */
export class ImageTree {
  readonly root: Directory = newDirectory();
  #layer = 0;
  #names = 0;

  /** What is put from now on hides what was there. */
  beginLayer(): void {
    this.#layer++;
  }

  /** Puts something in place. A directory onto a directory keeps what is in it; all else is replaced. Throws ImageError. */
  put(path: readonly string[], node: Node): void {
    const name = path.at(-1);
    if (name === undefined) {
      if (node.kind === "directory") this.root.attributes = node.attributes;
      return;
    }
    const { children } = this.#parent(path);
    const there = children.get(name);
    this.#count();
    if (node.kind === "directory" && there?.node.kind === "directory") {
      there.node.attributes = node.attributes;
      there.layer = this.#layer;
    } else children.set(name, { node, layer: this.#layer });
  }

  /** Gives a file one more name. Throws ImageError. */
  link(path: readonly string[], target: readonly string[]): void {
    const node = this.find(target, { follow: false });
    if (node === undefined || node.kind === "directory") {
      throw new ImageError(
        `Cannot link "/${path.join("/")}" to "/${target.join("/")}": ` +
          (node === undefined ? "it is not there" : "it is a directory"),
        "ROOTFS_ENTRY",
      );
    }
    this.put(path, node);
  }

  /** Hides what lower layers have under a name. */
  hide(path: readonly string[]): void {
    const name = path.at(-1);
    const parent = this.find(path.slice(0, -1));
    if (name === undefined || parent?.kind !== "directory") return;
    const child = parent.children.get(name);
    if (child === undefined) return;
    if (child.layer < this.#layer) parent.children.delete(name);
    else if (child.node.kind === "directory") this.#hideChildren(child.node);
  }

  /** Hides what lower layers have in a directory. */
  hideContents(path: readonly string[]): void {
    const directory = this.find(path);
    if (directory?.kind === "directory") this.#hideChildren(directory);
  }

  #hideChildren(directory: Directory): void {
    const pending = [directory];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      for (const [name, { node, layer }] of next.children) {
        if (layer < this.#layer) next.children.delete(name);
        else if (node.kind === "directory") pending.push(node);
      }
    }
  }

  /** Removes a name, whatever layer it is of. */
  remove(path: readonly string[]): void {
    const parent = this.find(path.slice(0, -1));
    if (parent?.kind === "directory") parent.children.delete(path.at(-1) ?? "");
  }

  /** What a path leads to; the last part's own link is followed unless told not to. Throws ImageError for circles. */
  find(
    path: readonly string[],
    { follow = true }: { readonly follow?: boolean } = {},
  ): Node | undefined {
    if (follow) return this.#walk(path, undefined);
    const name = path.at(-1);
    if (name === undefined) return this.root;
    const parent = this.#walk(path.slice(0, -1), undefined);
    return parent?.kind === "directory" ? parent.children.get(name)?.node : undefined;
  }

  /** The directory at a path, made if it is not there; links are followed. Throws ImageError where a file is. */
  directory(path: readonly string[], attributes: Attributes = DIRECTORY_ATTRIBUTES): Directory {
    const found = this.#walk(path, attributes);
    if (found?.kind === "directory") return found;
    throw this.#notDirectory(path);
  }

  #parent(path: readonly string[]): Directory {
    return this.directory(path.slice(0, -1));
  }

  /** All names below the root, each directory before what is in it. */
  *all(): Generator<readonly [path: string, node: Node]> {
    const pending: (readonly [string, Directory])[] = [["", this.root]];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const [prefix, { children }] = next;
      for (const [name, { node }] of children) {
        const path = `${prefix}/${name}`;
        yield [path, node];
        if (node.kind === "directory") pending.push([path, node]);
      }
    }
  }

  /**
   * Goes where `path` leads, never above the root. With `make`, directories that are missing are made, and all on the
   * way belong to this layer from then on.
   */
  #walk(path: readonly string[], make: Attributes | undefined): Node | undefined {
    let above: Directory[] = [this.root];
    const parts = path.toReversed(); // the next one is the last
    let links = 0;
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
      const here = above.at(-1) ?? this.root;
      if (part === "" || part === ".") continue;
      if (part === "..") {
        if (above.length > 1) above.pop();
        continue;
      }
      let child = here.children.get(part);
      if (child === undefined) {
        if (make === undefined) return undefined;
        this.#count();
        child = { node: newDirectory(make), layer: this.#layer };
        here.children.set(part, child);
      }
      const { node } = child;
      if (node.kind === "directory") {
        if (make !== undefined) child.layer = this.#layer;
        above.push(node);
      } else if (node.kind === "symlink") {
        if (++links > MAX_LINKS) {
          throw new ImageError(
            `Cannot go to "/${path.join("/")}": it leads through more than ${MAX_LINKS} links`,
            "ROOTFS_ENTRY",
          );
        }
        if (node.target.startsWith("/")) above = [this.root];
        parts.push(...node.target.split("/").toReversed());
      } else {
        if (parts.some((rest) => rest !== "" && rest !== ".")) {
          if (make !== undefined) throw this.#notDirectory(path);
          return undefined;
        }
        return node;
      }
    }
    return above.at(-1);
  }

  #count(): void {
    if (++this.#names <= MAX_NAMES) return;
    throw new ImageError(
      `Cannot unpack the root file system: it has more than ${MAX_NAMES} names`,
      "ROOTFS_TOO_BIG",
    );
  }

  #notDirectory(path: readonly string[]): ImageError {
    return new ImageError(
      `Cannot unpack into "/${path.join("/")}": it, or a part of it, is no directory`,
      "ROOTFS_ENTRY",
    );
  }
}
