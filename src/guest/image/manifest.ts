/**
 * Finds an image in an archive: OCI image layout (image-layout.md, image-index.md, manifest.md), and what `docker save`
 * wrote before it wrote those.
 */
import { digestOf } from "./byte_streams.ts";
import { type ReadConfig, readConfig, recordOf, textOf, wordsOf } from "./config.ts";
import { ImageError } from "./errors.ts";
import { type ImageFiles, parseJson, readBytes, readJson } from "./image_files.ts";

const REF_NAME = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME = "io.containerd.image.name";
const INDEX_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];
const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** An index may lead to another one; not for ever. */
const MAX_DEPTH = 4;
/** As many as overlay file systems take. */
const MAX_LAYERS = 500;
/** As GOARCH has it. */
const ARCHITECTURE = Deno.build.arch === "x86_64" ? "amd64" : "arm64";

/** An image of an archive: what is known before its layers are read. */
export interface FoundImage {
  /** Digest of its configuration, which names all layers by their contents. */
  readonly id: string;
  readonly config: ReadConfig["config"];
  /** From the lowest to the topmost. */
  readonly layers: readonly FoundLayer[];
}

/** A layer, packed or not. */
export interface FoundLayer {
  /** The file it is in. */
  readonly name: string;
  /** Digest of the layer unpacked. */
  readonly diffId: string;
}

/** An image that an archive offers, and what it is called there. */
interface Offer {
  readonly names: readonly string[];
  find(): Promise<FoundImage>;
}

/**
 * Finds the image called `ref`, or the only one.
 *
 * @throws {ImageError} ROOTFS_REF when there is none of that name, or several and no name; ROOTFS_DAMAGED
 */
export async function findImage(files: ImageFiles, ref: string | undefined): Promise<FoundImage> {
  const offers = files.has("index.json") ? await indexOffers(files) : await dockerOffers(files);
  const matching = ref === undefined ? offers : offers.filter((offer) => answersTo(offer, ref));
  const [offer] = matching;
  if (offer !== undefined && matching.length === 1) return await offer.find();
  const names = offers.flatMap((each) => each.names.slice(0, 1));
  const known = names.length === 0 ? "none has a name" : `there are ${names.join(", ")}`;
  const message = ref !== undefined && offer === undefined
    ? `Cannot find an image "${ref}" in the archive`
    : `Cannot choose among ${matching.length} images in the archive`;
  throw new ImageError(message, "ROOTFS_REF", { hint: `name one by ref: ${known}` });
}

/** By any of its names in full, or without their beginning: docker.io/library/debian:12 is debian:12, too. */
function answersTo({ names }: Offer, ref: string): boolean {
  return names.some((name) => name === ref || name.endsWith(`/${ref}`));
}

async function indexOffers(files: ImageFiles): Promise<Offer[]> {
  const index = recordOf(await readJson(files, "index.json"), "index.json");
  const entries = descriptors(index["manifests"]).filter(isForUs);
  return entries.map((entry) => ({
    names: [
      ...[CONTAINERD_NAME, REF_NAME].map((key) => textOf(entry.annotations[key], key)),
      entry.digest,
    ].filter((name) => name !== ""),
    find: () => follow(files, entry, 0),
  }));
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly annotations: Readonly<Record<string, unknown>>;
  readonly platform: Readonly<Record<string, unknown>> | undefined;
}

function descriptors(list: unknown): Descriptor[] {
  if (!Array.isArray(list)) throw damaged("it has no list of manifests");
  return list.map(descriptor);
}

function descriptor(value: unknown): Descriptor {
  const { mediaType, digest, annotations, platform } = recordOf(value, "descriptor");
  const name = textOf(digest, "digest");
  if (!DIGEST.test(name)) throw damaged(`"${name}" is no SHA-256`);
  return {
    mediaType: textOf(mediaType, "mediaType"),
    digest: name,
    annotations: annotations === undefined ? {} : recordOf(annotations, "annotations"),
    platform: platform === undefined ? undefined : recordOf(platform, "platform"),
  };
}

/** Not for another machine, and no statement about an image (those are for platform "unknown"). */
function isForUs({ platform }: Descriptor): boolean {
  if (platform === undefined) return true;
  return platform["os"] === "linux" && platform["architecture"] === ARCHITECTURE;
}

async function follow(files: ImageFiles, entry: Descriptor, depth: number): Promise<FoundImage> {
  const manifest = recordOf(await readBlobJson(files, entry.digest), "manifest");
  if (!INDEX_TYPES.includes(entry.mediaType) && !("manifests" in manifest)) {
    return await imageOf(files, manifest);
  }
  const inner = descriptors(manifest["manifests"]).filter(isForUs);
  const [only] = inner;
  if (only === undefined || depth >= MAX_DEPTH) {
    throw new ImageError(`Cannot find an image for linux/${ARCHITECTURE}`, "ROOTFS_REF", {
      hint: `get it for this machine: skopeo copy --override-arch ${ARCHITECTURE} …`,
    });
  }
  return await follow(files, only, depth + 1);
}

async function imageOf(
  files: ImageFiles,
  manifest: Record<string, unknown>,
): Promise<FoundImage> {
  const { digest } = descriptor(manifest["config"]);
  const layers = descriptors(manifest["layers"]).map((layer) => blobName(layer.digest));
  return withLayers(digest, await readBlobJson(files, digest), layers);
}

function withLayers(id: string, json: unknown, names: readonly string[]): FoundImage {
  const { config, diffIds, architecture } = readConfig(json);
  if (names.length !== diffIds.length || names.length > MAX_LAYERS) {
    throw damaged(`it has ${names.length} layers where its configuration has ${diffIds.length}`);
  }
  if (architecture !== "" && architecture !== ARCHITECTURE) {
    throw new ImageError(
      `Cannot run an image for ${architecture} on ${ARCHITECTURE}`,
      "ROOTFS_KIND",
      { hint: `get it for this machine: docker pull --platform linux/${ARCHITECTURE} …` },
    );
  }
  const layers = names.map((name, index) => ({ name, diffId: diffIds[index] ?? "" }));
  return { id, config, layers };
}

async function readBlobJson(files: ImageFiles, digest: string): Promise<unknown> {
  const bytes = await readBytes(files, blobName(digest));
  if (digestOf(bytes) !== digest) throw damaged(`${digest} has another content`);
  return parseJson(bytes, digest);
}

function blobName(digest: string): string {
  return `blobs/sha256/${digest.slice("sha256:".length)}`;
}

async function dockerOffers(files: ImageFiles): Promise<Offer[]> {
  const list = await readJson(files, "manifest.json");
  if (!Array.isArray(list)) throw damaged("its manifest.json is no list");
  return list.map((item) => {
    const { Config, RepoTags, Layers } = recordOf(item, "manifest.json");
    const name = textOf(Config, "Config");
    return {
      names: wordsOf(RepoTags, "RepoTags"),
      async find() {
        const bytes = await readBytes(files, name);
        return withLayers(digestOf(bytes), parseJson(bytes, name), wordsOf(Layers, "Layers"));
      },
    };
  });
}

function damaged(why: string): ImageError {
  return new ImageError(`Cannot use the image: ${why}`, "ROOTFS_DAMAGED");
}
