/** What a root file system is given as, and how it is told what a path is. */
import { compressionOf } from "../../sys/decompress.ts";
import { ImageError } from "./errors.ts";

/** A root file system of the user's. */
export type RootSource =
  /** Whatever is there: an OCI layout, a directory, an archive, else a disk image. */
  | { readonly kind: "auto"; readonly path: string; readonly ref?: string }
  | { readonly kind: "dir"; readonly path: string }
  | { readonly kind: "tar"; readonly path: string }
  | { readonly kind: "oci"; readonly path: string; readonly ref?: string }
  | { readonly kind: "image"; readonly path: string };

/** One whose path has been looked at. What is in an archive, an image or a root, is seen when it is read. */
export type KnownSource =
  /** Its path is absolute: a program is run on it elsewhere. */
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "layout"; readonly path: string; readonly ref: string | undefined }
  | {
    readonly kind: "archive";
    readonly path: string;
    readonly ref: string | undefined;
    /** What its owner says it is; undefined: see what is in it. */
    readonly content: "tar" | "oci" | undefined;
    readonly stat: Deno.FileInfo;
  }
  | { readonly kind: "disk"; readonly path: string };

/** Where a tar header says so: POSIX.1-2008, pax, ustar interchange format. */
const USTAR_OFFSET = 257;
const HEAD_BYTES = 512;
const SECTOR_BYTES = 512;

const WANTED = "name a directory, a tar archive, an OCI image or a disk image";

/** Looks at the path of a source. Throws ImageError ROOTFS_NOT_FOUND, ROOTFS_ACCESS, ROOTFS_KIND. */
export function knownSource(source: RootSource): KnownSource {
  const { kind, path } = source;
  const ref = "ref" in source ? source.ref : undefined;
  const stat = looked(path, () => Deno.statSync(path));
  if (stat.isDirectory) {
    const directory = { kind: "directory", path: Deno.realPathSync(path) } as const;
    if (kind === "dir") return directory;
    const isLayout = exists(`${path}/oci-layout`) ||
      (kind === "oci" && (exists(`${path}/index.json`) || exists(`${path}/manifest.json`)));
    if (isLayout && (kind === "oci" || kind === "auto")) return { kind: "layout", path, ref };
    if (kind === "auto") return directory;
    throw wrongKind(path, kind, "it is a directory");
  }
  if (kind === "dir") throw wrongKind(path, kind, "it is none");
  if (kind === "image") return { kind: "disk", path };
  const isArchive = stat.isFile && (kind !== "auto" || looksPacked(path));
  if (isArchive) {
    return { kind: "archive", path, ref, content: kind === "auto" ? undefined : kind, stat };
  }
  if (kind !== "auto") throw wrongKind(path, kind, "it is no file");
  if (stat.isFile && (stat.size === 0 || stat.size % SECTOR_BYTES !== 0)) {
    throw new ImageError(
      `Cannot use "${path}" as a root: it is no archive, and no disk is ${stat.size} bytes long`,
      "ROOTFS_KIND",
      { hint: WANTED },
    );
  }
  return { kind: "disk", path };
}

function looksPacked(path: string): boolean {
  const head = looked(path, () => {
    using file = Deno.openSync(path);
    const bytes = new Uint8Array(HEAD_BYTES);
    return bytes.subarray(0, file.readSync(bytes) ?? 0);
  });
  const magic = String.fromCharCode(...head.subarray(USTAR_OFFSET, USTAR_OFFSET + 5));
  const compression = compressionOf(head);
  // Three bytes of a disk's first sector can be lzma's by chance.
  return magic === "ustar" || (compression !== undefined && compression !== "lzma");
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function wrongKind(path: string, kind: string, why: string): ImageError {
  const what = { dir: "a directory", tar: "a tar archive", oci: "an OCI image" }[kind];
  return new ImageError(
    `Cannot use "${path}" as ${what ?? "a disk image"}: ${why}`,
    "ROOTFS_KIND",
    {
      hint: "dir, tar, oci and image are possible; without one of them it is told by its content",
    },
  );
}

function looked<T>(path: string, look: () => T): T {
  try {
    return look();
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new ImageError(`Cannot find the root file system "${path}"`, "ROOTFS_NOT_FOUND", {
        hint: WANTED,
        cause,
      });
    }
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ImageError(`Cannot look at "${path}": ${reason}`, "ROOTFS_ACCESS", { cause });
  }
}
