/** An archive becomes a tree: a plain root file system, or the layers of an image. */
import { normalize } from "node:path/posix";
import { compressionOf } from "../../sys/decompress.ts";
import { fileBytes, HEAD_BYTES, PassingHash, unpacked } from "./byte_streams.ts";
import { type ImageConfig, PLAIN_ROOT } from "./config.ts";
import { DirectoryStore, UnpackedBudget } from "./content_store.ts";
import { entryParts } from "./entry_name.ts";
import { ImageError } from "./errors.ts";
import { DirectoryFiles, type ImageFiles, TarFiles } from "./image_files.ts";
import { applyLayer } from "./layer.ts";
import { findImage, type FoundImage } from "./manifest.ts";
import { ImageTree } from "./tree.ts";
import type { KnownSource } from "./source.ts";

/** Who wants something unpacked. */
export interface UnpackOptions {
  /** A directory for this. */
  readonly scratch: string;
  /** Called before each layer. */
  readonly onLayer: (number: number, count: number) => void;
  readonly signal: AbortSignal | undefined;
  /** For tests: how many bytes may come out. */
  readonly budget?: UnpackedBudget;
}

/** What came out. */
export interface Unpacked {
  readonly tree: ImageTree;
  readonly config: ImageConfig;
}

/** Unpacks an archive, or an OCI layout. Rejects with ImageError, or the reason of the signal. */
export async function unpackSource(
  source: Extract<KnownSource, { kind: "archive" | "layout" }>,
  options: UnpackOptions,
): Promise<Unpacked> {
  const { scratch, signal, budget = new UnpackedBudget() } = options;
  if (source.kind === "layout") {
    const files = new DirectoryFiles(source.path);
    return await unpackImage(files, await findImage(files, source.ref), options, budget);
  }
  if (source.content === "tar") return await unpackPlain(source.path, options, budget);
  const path = await plainArchive(source.path, scratch, budget, signal);
  const files = await TarFiles.open(path);
  const isImage = source.content === "oci" || files.has("index.json") || files.has("manifest.json");
  if (!isImage) return await unpackPlain(path, options, budget);
  return await unpackImage(files, await findImage(files, source.ref), options, budget);
}

/** An archive that can be read anywhere: this one, or a copy that is not packed. */
async function plainArchive(
  path: string,
  scratch: string,
  budget: UnpackedBudget,
  signal: AbortSignal | undefined,
): Promise<string> {
  let isPacked = false;
  for await (const head of fileBytes(path, { size: HEAD_BYTES })) {
    isPacked = compressionOf(head) !== undefined;
  }
  if (!isPacked) return path;
  const copy = `${scratch}/archive.tar`;
  using file = await Deno.create(copy);
  const bytes = budget.through(unpacked(fileBytes(path), signal));
  for await (const chunk of abortable(bytes, signal)) {
    for (let at = 0; at < chunk.length;) at += file.writeSync(chunk.subarray(at));
  }
  return copy;
}

async function unpackPlain(
  path: string,
  { scratch, onLayer, signal }: UnpackOptions,
  budget: UnpackedBudget,
): Promise<Unpacked> {
  const tree = new ImageTree();
  const store = await contentStore(scratch);
  onLayer(1, 1);
  const bytes = abortable(budget.through(unpacked(fileBytes(path), signal)), signal);
  await applyLayer(tree, bytes, store, { whiteouts: false });
  return { tree, config: PLAIN_ROOT };
}

async function unpackImage(
  files: ImageFiles,
  { layers, config }: FoundImage,
  { scratch, onLayer, signal }: UnpackOptions,
  budget: UnpackedBudget,
): Promise<Unpacked> {
  const tree = new ImageTree();
  const store = await contentStore(scratch);
  for (const [index, { name, diffId }] of layers.entries()) {
    onLayer(index + 1, layers.length);
    const hash = new PassingHash();
    const bytes = hash.through(budget.through(unpacked(files.open(name), signal)));
    await applyLayer(tree, abortable(bytes, signal), store, { whiteouts: true });
    if (hash.digest() !== diffId) {
      throw new ImageError(
        `Cannot use the image: layer "${name}" is not what its configuration says`,
        "ROOTFS_DAMAGED",
        { hint: "it was damaged on its way: get it again" },
      );
    }
  }
  // As docker does: it is there when a container starts.
  const workdir = entryParts(normalize(`/${config.workdir}`));
  if (tree.find(workdir) === undefined) tree.directory(workdir);
  return { tree, config };
}

async function contentStore(scratch: string): Promise<DirectoryStore> {
  const directory = `${scratch}/contents`;
  await Deno.mkdir(directory);
  return new DirectoryStore(directory);
}

async function* abortable(
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    signal?.throwIfAborted();
    yield chunk;
  }
}
