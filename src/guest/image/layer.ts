/** Puts a layer on a tree: OCI image specification, layer.md, or a plain archive, which has no whiteouts. */
import { entryParts, linkTarget } from "./entry_name.ts";
import { ImageError } from "./errors.ts";
import { type ArchiveEntry, type Bytes, tarEntries } from "./tar_entries.ts";
import { type ImageTree, newDirectory, type Node } from "./tree.ts";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** aufs keeps books under such names, and old images have them. */
const BOOKKEEPING = ".wh..wh.";

/** Keeps the contents of files until the tree is whole. */
export interface ContentStore {
  /** Takes a file's bytes to their end; returns where they are. Rejects when there is too much in all. */
  keep(data: Bytes): Promise<string>;
}

/** What a layer may do. */
export interface LayerOptions {
  /** Whether `.wh.NAME` hides NAME of the layers below. */
  readonly whiteouts: boolean;
}

/**
 * Puts all entries of an archive on `tree`.
 *
 * @throws {ImageError} for entries that make no sense, and damaged archives
 */
export async function applyLayer(
  tree: ImageTree,
  bytes: Bytes,
  store: ContentStore,
  { whiteouts }: LayerOptions,
): Promise<void> {
  tree.beginLayer();
  for await (const entry of tarEntries(bytes)) {
    const path = entryParts(entry.header.name);
    const name = path.at(-1) ?? "";
    if (whiteouts && name.startsWith(WHITEOUT)) {
      entry.skip();
      applyWhiteout(tree, path.slice(0, -1), name);
    } else await applyEntry(tree, path, entry, store);
  }
}

function applyWhiteout(tree: ImageTree, parent: readonly string[], name: string): void {
  if (name === OPAQUE) tree.hideContents(parent);
  else if (!name.startsWith(BOOKKEEPING)) tree.hide([...parent, name.slice(WHITEOUT.length)]);
}

async function applyEntry(
  tree: ImageTree,
  path: readonly string[],
  entry: ArchiveEntry,
  store: ContentStore,
): Promise<void> {
  const { header } = entry;
  if (header.type !== "file" && header.type !== "contiguous-file") entry.skip();
  if (header.type === "link") return tree.link(path, entryParts(header.linkname ?? ""));
  if (path.length === 0 && header.type !== "directory") {
    throw new ImageError("Cannot unpack a root that is no directory", "ROOTFS_ENTRY");
  }
  tree.put(path, await nodeOf(entry, store));
}

async function nodeOf(
  { header, attributes, data }: ArchiveEntry,
  store: ContentStore,
): Promise<Node> {
  switch (header.type) {
    case "directory":
      return newDirectory(attributes);
    case "symlink":
      return {
        kind: "symlink",
        attributes,
        target: linkTarget(header.name, header.linkname ?? ""),
      };
    case "character-device":
      return special("character", attributes, header);
    case "block-device":
      return special("block", attributes, header);
    case "fifo":
      return special("fifo", attributes, header);
    default: {
      const content = await store.keep(data);
      return { kind: "file", attributes, content, bytes: header.size };
    }
  }
}

function special(
  kind: "character" | "block" | "fifo",
  attributes: ArchiveEntry["attributes"],
  { devmajor, devminor }: ArchiveEntry["header"],
): Node {
  return { kind, attributes, major: devmajor, minor: devminor };
}
