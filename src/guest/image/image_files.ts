/** Where the files of an image archive are: in a directory, or in a tar that is read where they stand. */
import { fileBytes, wholeBytes } from "./byte_streams.ts";
import { entryParts } from "./entry_name.ts";
import { ImageError } from "./errors.ts";
import { type Bytes, tarEntries } from "./tar_entries.ts";

/** Far more than any description of an image takes. */
const MAX_JSON_BYTES = 8 * 1024 * 1024;
/** Files in one archive; an image has a few for each layer. */
const MAX_FILES = 100_000;
const MAX_LINKS = 8;

/** Files by their names in the archive. */
export interface ImageFiles {
  has(name: string): boolean;
  /** Rejects with ImageError ROOTFS_DAMAGED when it is not there. */
  open(name: string): Bytes;
}

/** A description: JSON. Rejects with ImageError ROOTFS_DAMAGED. */
export async function readJson(files: ImageFiles, name: string): Promise<unknown> {
  return parseJson(await readBytes(files, name), name);
}

/** The bytes of a description. Rejects with ImageError ROOTFS_DAMAGED. */
export function readBytes(files: ImageFiles, name: string): Promise<Uint8Array<ArrayBuffer>> {
  return wholeBytes(files.open(name), MAX_JSON_BYTES);
}

/** Throws ImageError ROOTFS_DAMAGED. */
export function parseJson(bytes: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new ImageError(`Cannot read "${name}" of the image: it is no JSON`, "ROOTFS_DAMAGED", {
      cause,
    });
  }
}

/** An archive that is a directory. */
export class DirectoryFiles implements ImageFiles {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  #place(name: string): string {
    return `${this.#path}/${entryParts(name).join("/")}`;
  }

  has(name: string): boolean {
    try {
      return Deno.statSync(this.#place(name)).isFile;
    } catch {
      return false;
    }
  }

  open(name: string): Bytes {
    return this.has(name) ? fileBytes(this.#place(name)) : missing(name);
  }
}

interface Place {
  readonly offset: number;
  readonly size: number;
}

/** An archive that is a tar, not compressed. */
export class TarFiles implements ImageFiles {
  readonly #path: string;
  /** Where a file's bytes are, or another name of it. */
  readonly #places = new Map<string, Place | string>();

  private constructor(path: string) {
    this.#path = path;
  }

  /** Reads through all of it. Rejects with ImageError. */
  static async open(path: string): Promise<TarFiles> {
    const files = new TarFiles(path);
    for await (const entry of tarEntries(fileBytes(path))) {
      entry.skip();
      files.#add(entry.header);
    }
    return files;
  }

  #add({ name, type, linkname, byteOffset: offset, size }: {
    readonly name: string;
    readonly type: string | null;
    readonly linkname: string | null;
    readonly byteOffset: number;
    readonly size: number;
  }): void {
    const parts = entryParts(name);
    const key = parts.join("/");
    if (type === "file") this.#places.set(key, { offset, size });
    else if (type === "link") this.#places.set(key, entryParts(linkname ?? "").join("/"));
    else if (type === "symlink") this.#places.set(key, besides(parts, linkname ?? ""));
    if (this.#places.size > MAX_FILES) {
      throw new ImageError(
        `Cannot use "${this.#path}": it has more than ${MAX_FILES} files for an image`,
        "ROOTFS_TOO_BIG",
      );
    }
  }

  #place(name: string): Place | undefined {
    let place = this.#places.get(entryParts(name).join("/"));
    // Older dockers write a layer once, and links to it.
    for (let links = 0; typeof place === "string" && links < MAX_LINKS; links++) {
      place = this.#places.get(place);
    }
    return typeof place === "string" ? undefined : place;
  }

  has(name: string): boolean {
    return this.#place(name) !== undefined;
  }

  open(name: string): Bytes {
    const place = this.#place(name);
    return place === undefined ? missing(name) : fileBytes(this.#path, place);
  }
}

/** Where a symbolic link leads, in the archive. */
function besides(parts: readonly string[], target: string): string {
  const path = parts.slice(0, -1);
  for (const part of target.split("/")) {
    if (part === "..") path.pop();
    else if (part !== "" && part !== ".") path.push(part);
  }
  return path.join("/");
}

// deno-lint-ignore require-yield -- it has nothing to give
async function* missing(name: string): AsyncGenerator<Uint8Array> {
  throw new ImageError(`Cannot find "${name}" in the image`, "ROOTFS_DAMAGED", {
    hint: "it was not written to its end, or is of a kind that is not known here",
  });
}
