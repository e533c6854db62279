/** Archives that tests make: of tar entries, and of images. */
import { pack, type TarHeader } from "../../src/std/tar_stream.ts";

/** An entry: what its header says, and its data. */
export type EntryInit = Partial<TarHeader> & {
  readonly name: string;
  readonly data?: string | Uint8Array;
};

/** A tar archive of some entries. */
export async function tarOf(...entries: readonly EntryInit[]): Promise<Uint8Array<ArrayBuffer>> {
  const packer = pack();
  for (const { data, ...header } of entries) {
    const mtime = header.mtime ?? new Date(1_000_000_000_000);
    packer.entry({ uid: 0, gid: 0, ...header, mtime }, data ?? "");
  }
  packer.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of packer) chunks.push(chunk);
  return withPaxHeaders(concatenated(chunks));
}

const PAX_NAME = "@PaxHeader";
const BLOCK = 512;

/** The packer writes no pax header with bytes of others, so these come as files and are made headers afterwards. */
function withPaxHeaders(archive: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const text = (at: number, size: number): string =>
    new TextDecoder().decode(archive.subarray(at, at + size));
  for (let at = 0; at < archive.length; at += BLOCK) {
    if (text(at, PAX_NAME.length) !== PAX_NAME) continue;
    archive[at + 156] = "x".charCodeAt(0);
    // The sum counts itself as blanks.
    archive.fill(0x20, at + 148, at + 156);
    const sum = archive.subarray(at, at + BLOCK).reduce((all, byte) => all + byte, 0);
    archive.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), at + 148);
  }
  return archive;
}

/** A pax header of exactly these records, for the entry that follows it. */
export function paxHeader(...records: readonly (readonly [string, Uint8Array])[]): EntryInit {
  const encoder = new TextEncoder();
  const lines = records.map(([name, value]) => {
    const text = [encoder.encode(` ${name}=`), value, encoder.encode("\n")];
    const rest = text.reduce((sum, part) => sum + part.length, 0);
    let size = rest + 1;
    while (String(size).length + rest !== size) size++;
    return concatenated([encoder.encode(String(size)), ...text]);
  });
  return { name: PAX_NAME, data: concatenated(lines) };
}

/** All of them, one after the other. */
export function concatenated(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Bytes as a stream of pieces, none of the size of a block. */
export async function* pieces(bytes: Uint8Array, size = 700): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
  }
}

/** `sha256:HEX`. */
export async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return `sha256:${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}`;
}

/** A layer as it is in an archive, and as it is unpacked. */
export interface LayerInit {
  readonly packed: Uint8Array<ArrayBuffer>;
  readonly tar: Uint8Array<ArrayBuffer>;
}

/** What an image is made of. */
export interface ImageInit {
  readonly layers: readonly LayerInit[];
  /** As in config.md: Entrypoint, Env, … */
  readonly config: Readonly<Record<string, unknown>>;
  readonly name?: string;
  readonly architecture?: string;
}

/** The files of an OCI layout with these images, by name. */
export async function ociLayout(
  ...images: readonly ImageInit[]
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const manifests = [];
  for (const { layers, config, name, architecture = "amd64" } of images) {
    const diffIds = await Promise.all(layers.map(({ tar }) => digest(tar)));
    const json = jsonBytes({ architecture, os: "linux", config, rootfs: { diff_ids: diffIds } });
    const manifest = jsonBytes({
      schemaVersion: 2,
      config: await blob(files, json, "application/vnd.oci.image.config.v1+json"),
      layers: await Promise.all(
        layers.map(({ packed }) => blob(files, packed, "application/vnd.oci.image.layer.v1.tar")),
      ),
    });
    const annotations = name === undefined ? {} : { "org.opencontainers.image.ref.name": name };
    const type = "application/vnd.oci.image.manifest.v1+json";
    manifests.push({ ...await blob(files, manifest, type), annotations });
  }
  files.set("index.json", jsonBytes({ schemaVersion: 2, manifests }));
  files.set("oci-layout", jsonBytes({ imageLayoutVersion: "1.0.0" }));
  return files;
}

/** The files that older dockers save, by name. */
export async function dockerSave(
  { layers, config, name }: ImageInit,
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const diffIds = await Promise.all(layers.map(({ tar }) => digest(tar)));
  const json = jsonBytes({ architecture: "amd64", config, rootfs: { diff_ids: diffIds } });
  const id = (await digest(json)).slice("sha256:".length);
  const names = layers.map((_, index) => `layer${index}/layer.tar`);
  layers.forEach(({ tar }, index) => files.set(names[index] ?? "", tar));
  files.set(`${id}.json`, json);
  const RepoTags = name === undefined ? null : [name];
  files.set("manifest.json", jsonBytes([{ Config: `${id}.json`, RepoTags, Layers: names }]));
  return files;
}

/** A tar of files. */
export function tarOfFiles(
  files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
): Promise<Uint8Array<ArrayBuffer>> {
  return tarOf(...[...files].map(([name, data]) => ({ name, data })));
}

async function blob(
  files: Map<string, Uint8Array<ArrayBuffer>>,
  bytes: Uint8Array<ArrayBuffer>,
  mediaType: string,
): Promise<{ mediaType: string; digest: string; size: number }> {
  const name = await digest(bytes);
  files.set(`blobs/sha256/${name.slice("sha256:".length)}`, bytes);
  return { mediaType, digest: name, size: bytes.length };
}

function jsonBytes(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value));
}
