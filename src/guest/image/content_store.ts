/** The contents of files on their way into an image: each in a file of its own, named by a number. */
import { ImageError } from "./errors.ts";
import type { ContentStore } from "./layer.ts";
import type { Bytes } from "./tar_entries.ts";

/** How much may come out of one archive, all layers and all that they hide together. */
const MAX_UNPACKED_BYTES = 64 * 2 ** 30;

/** Counts what comes out of an archive, so that a small one cannot fill the disk. */
export class UnpackedBudget {
  #left: number;

  constructor(bytes: number = MAX_UNPACKED_BYTES) {
    this.#left = bytes;
  }

  /** Passes bytes on; rejects with ImageError ROOTFS_TOO_BIG when there are too many. */
  async *through(bytes: Bytes): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      this.#left -= chunk.length;
      if (this.#left < 0) {
        throw new ImageError(
          "Cannot unpack the archive: more comes out of it than an image may have",
          "ROOTFS_TOO_BIG",
          { hint: `at most ${MAX_UNPACKED_BYTES / 2 ** 30} GiB are unpacked` },
        );
      }
      yield chunk;
    }
  }
}

/** Keeps contents in a directory. */
export class DirectoryStore implements ContentStore {
  readonly #directory: string;
  #kept = 0;

  /** `directory` is there, and its own. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  async keep(data: Bytes): Promise<string> {
    const path = `${this.#directory}/${this.#kept++}`;
    using file = Deno.openSync(path, { write: true, createNew: true, mode: 0o600 });
    for await (const chunk of data) writeAll(file, chunk);
    return path;
  }
}

function writeAll(file: Deno.FsFile, chunk: Uint8Array): void {
  for (let at = 0; at < chunk.length;) at += file.writeSync(chunk.subarray(at));
}
