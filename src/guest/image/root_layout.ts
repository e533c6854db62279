/**
 * From a tree, or a directory of the host, to what an image of it is made of: a directory that mke2fs may read, and a
 * script for the rest.
 */
import { DebugfsScript } from "./debugfs_script.ts";
import { ImageError } from "./errors.ts";
import { blocksOf, type Contents } from "./ext4.ts";
import type { HostTree } from "./host_tree.ts";
import { type Attributes, DIRECTORY_ATTRIBUTES, type ImageTree, type RegularFile } from "./tree.ts";

/** Where our own programs are in every root image. */
export const OWN_FOLDER = ".dinovisor";

/** What a guest mounts something on, or expects to be there; with their modes. */
export const EXPECTED_FOLDERS: Readonly<Record<string, number>> = {
  dev: 0o755,
  etc: 0o755,
  proc: 0o555,
  root: 0o700,
  run: 0o755,
  sys: 0o555,
  tmp: 0o1777,
};

/** Attributes that a guest is better off without: they are of the file system they were on, or set by its mount. */
const KEPT_XATTRS = /^(?:security\.capability$|user\.[\x21-\x7e]+$)/;
/** What fits beside an inode, or into one block. */
const MAX_XATTR_BYTES = 1024;

/** Programs of ours: name in the folder, and path on the host. */
export type OwnFiles = Readonly<Record<string, string>>;

/** What an image is made of. */
export interface RootLayout {
  readonly directory: string;
  readonly script: string;
  readonly contents: Contents;
}

/** Lays out a tree in `scratch`. The contents of its files are moved there. Throws ImageError. */
export async function layOutTree(
  tree: ImageTree,
  own: OwnFiles,
  scratch: string,
): Promise<RootLayout> {
  tree.remove([OWN_FOLDER]);
  for (const [name, mode] of Object.entries(EXPECTED_FOLDERS)) {
    if (tree.find([name], { follow: false }) === undefined) {
      tree.directory([name], { ...DIRECTORY_ATTRIBUTES, mode });
    }
  }
  const directory = `${scratch}/root`;
  await Deno.mkdir(directory);
  const layout = new TreeLayout(directory, scratch);
  layout.addTree(tree);
  return layout.finish(own);
}

/** Lays out a directory of the host: it is packed where it is. */
export function layOutHostTree(tree: HostTree, own: OwnFiles): RootLayout {
  const layout = new HostLayout(tree);
  layout.addTree();
  return layout.finish(own);
}

/** Commands in the order in which they can be done: everything is there before its owner and times are set. */
class Layout {
  readonly directory: string;
  protected readonly making = new DebugfsScript();
  protected readonly describing = new DebugfsScript();
  protected bytes = 0;
  protected names = 0;

  constructor(directory: string) {
    this.directory = directory;
  }

  finish(own: OwnFiles): RootLayout {
    const { making, describing } = this;
    making.removeDirectory("/lost+found");
    this.#addFolder(OWN_FOLDER, 0o755);
    for (const [name, path] of Object.entries(own)) {
      making.writeFile(`/${OWN_FOLDER}/${name}`, path);
      const attributes = { ...DIRECTORY_ATTRIBUTES, mode: 0o755 };
      describing.setAttributes(`/${OWN_FOLDER}/${name}`, "file", attributes);
      this.count(Deno.statSync(path).size);
    }
    const { directory, bytes, names } = this;
    return { directory, script: making.text + describing.text, contents: { bytes, names } };
  }

  #addFolder(name: string, mode: number): void {
    this.making.makeDirectory(`/${name}`);
    this.describing.setAttributes(`/${name}`, "directory", { ...DIRECTORY_ATTRIBUTES, mode });
    this.count(1);
  }

  protected addMissingFolders(isThere: (name: string) => boolean): void {
    for (const [name, mode] of Object.entries(EXPECTED_FOLDERS)) {
      if (!isThere(name)) this.#addFolder(name, mode);
    }
  }

  protected count(bytes: number): void {
    this.bytes += blocksOf(bytes);
    this.names++;
  }
}

class TreeLayout extends Layout {
  readonly #scratch: string;
  /** Where a file has its first name. */
  readonly #placed = new Map<RegularFile, string>();
  #xattrs = 0;

  constructor(directory: string, scratch: string) {
    super(directory);
    this.#scratch = scratch;
  }

  addTree(tree: ImageTree): void {
    this.describing.setAttributes("/", "directory", tree.root.attributes);
    for (const [path, node] of tree.all()) {
      this.count(node.kind === "file" ? node.bytes : node.kind === "directory" ? 1 : 0);
      switch (node.kind) {
        case "directory":
          placed(path, () => Deno.mkdirSync(this.directory + path));
          break;
        case "symlink":
          placed(path, () => Deno.symlinkSync(node.target, this.directory + path));
          break;
        case "file": {
          const first = this.#placed.get(node);
          placed(path, () => this.#place(node, first, this.directory + path));
          if (first !== undefined) continue; // it has its attributes
          this.#placed.set(node, path);
          break;
        }
        default:
          this.making.makeSpecial(path, node.kind, node.major, node.minor);
      }
      this.describing.setAttributes(path, node.kind, node.attributes);
      this.#setXattrs(path, node.attributes);
    }
  }

  #place(node: RegularFile, first: string | undefined, path: string): void {
    if (first !== undefined) Deno.linkSync(this.directory + first, path);
    else if (node.content === undefined) Deno.writeFileSync(path, new Uint8Array());
    else Deno.renameSync(node.content, path);
  }

  #setXattrs(path: string, { xattrs }: Attributes): void {
    for (const [name, value] of xattrs) {
      if (!KEPT_XATTRS.test(name) || value.length > MAX_XATTR_BYTES) continue;
      const file = `${this.#scratch}/xattr-${this.#xattrs++}`;
      Deno.writeFileSync(file, value);
      this.describing.setXattr(path, name, file);
    }
  }
}

class HostLayout extends Layout {
  readonly #tree: HostTree;

  constructor(tree: HostTree) {
    super(tree.path);
    this.#tree = tree;
  }

  addTree(): void {
    const { root, files } = this.#tree;
    this.describing.setField("/", "mode", `0${(root.mode ?? 0o40755).toString(8)}`);
    for (const { path, uid, gid, bytes } of files) {
      this.count(bytes);
      // The others come with their own.
      if (uid.guest !== uid.host || gid.guest !== gid.host) {
        this.describing.setOwner(path, uid.guest, gid.guest);
      }
    }
    this.addMissingFolders((name) => this.#tree.topNames.has(name));
  }
}

/** What the host's file system cannot take, an image of it cannot have. */
function placed(path: string, make: () => void): void {
  try {
    make();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ImageError(
      `Cannot unpack ${JSON.stringify(path.slice(0, 200))}: ${reason}`,
      "ROOTFS_ENTRY",
      { cause },
    );
  }
}
