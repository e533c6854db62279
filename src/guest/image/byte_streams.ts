/** Bytes on their way from an archive: out of files, through decompression, counted and hashed. */
import { createHash } from "node:crypto";
import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { compressionOf } from "../../sys/decompress.ts";
import { ImageError } from "./errors.ts";
import type { Bytes } from "./tar_entries.ts";

const CHUNK_BYTES = 256 * 1024;
/** What is enough to know a compression by. */
export const HEAD_BYTES = 6;

/** The bytes of a file, or a part of it. */
export async function* fileBytes(
  path: string,
  { offset = 0, size = Infinity }: { readonly offset?: number; readonly size?: number } = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  using file = await Deno.open(path);
  if (offset > 0) await file.seek(offset, Deno.SeekMode.Start);
  for (let left = size; left > 0;) {
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, left));
    const count = await file.read(chunk);
    if (count === null) return;
    left -= count;
    yield chunk.subarray(0, count);
  }
}

/** All of it, if it is no more than `maxBytes`. Rejects with ImageError ROOTFS_DAMAGED otherwise. */
export async function wholeBytes(bytes: Bytes, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bytes) {
    size += chunk.length;
    if (size > maxBytes) {
      throw new ImageError(
        `Cannot use the image: a description in it is longer than ${maxBytes} bytes`,
        "ROOTFS_DAMAGED",
      );
    }
    chunks.push(chunk);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** Unpacks gzip and zstd, told by content; anything else passes as it is, for a tar reader to judge. */
export async function* unpacked(bytes: Bytes, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const { head, all } = await peek(bytes);
  switch (compressionOf(head)) {
    case "gzip":
      return yield* gunzipped(all);
    case "zstd":
      return yield* unzstd(all, signal);
    case "xz":
    case "bzip2":
    case "lz4":
    case "lzma":
    case "lzo":
      throw new ImageError(
        `Cannot unpack an archive packed with ${compressionOf(head)}`,
        "ROOTFS_KIND",
        { hint: "gzip and zstd are possible, or none: unpack it first" },
      );
    default:
      yield* all;
  }
}

async function peek(bytes: Bytes): Promise<{ head: Uint8Array; all: Bytes }> {
  const source = bytes[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let head = new Uint8Array();
  while (head.length < HEAD_BYTES) {
    const { value, done } = await source.next();
    if (done) break;
    first.push(value);
    head = new Uint8Array([...head, ...value.subarray(0, HEAD_BYTES)]);
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    try {
      yield* first;
      for (let next = await source.next(); !next.done; next = await source.next()) {
        yield next.value;
      }
    } finally {
      await source.return?.();
    }
  }
  return { head, all: all() };
}

/** All members: some tools write one for each file. The runtime's DecompressionStream takes one, and is slower. */
async function* gunzipped(bytes: Bytes): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  pipeline(Readable.from(bytes), gunzip, () => {}); // errors come out of `gunzip`, too
  try {
    yield* gunzip as AsyncIterable<Uint8Array>;
  } catch (cause) {
    if (cause instanceof ImageError) throw cause;
    throw damaged("gzip", cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/** By the program: the runtime's stream stops after the first frame, and layers have many. */
async function* unzstd(bytes: Bytes, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  await using child = startZstd(signal);
  const fed = (async () => {
    const writer = child.stdin.getWriter();
    try {
      for await (const chunk of bytes) await writer.write(new Uint8Array(chunk));
      await writer.close();
    } catch (error) {
      await writer.abort(error).catch(() => {});
      throw error;
    }
  })();
  fed.catch(() => {}); // looked at below
  yield* child.stdout;
  const { success } = await child.status;
  signal?.throwIfAborted();
  if (!success) throw damaged("zstd", "it ends too early, or is no zstd");
  await fed;
}

function startZstd(signal: AbortSignal | undefined): Deno.ChildProcess {
  try {
    return new Deno.Command("zstd", {
      args: ["-dcq", "-"],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
      ...(signal === undefined ? {} : { signal }),
    }).spawn();
  } catch (cause) {
    throw new ImageError("Cannot unpack a zstd archive: no zstd is installed", "ROOTFS_KIND", {
      hint: "apt-get install zstd",
      cause,
    });
  }
}

function damaged(kind: string, reason: string, cause?: unknown): ImageError {
  return new ImageError(`Cannot unpack the ${kind} archive: ${reason}`, "ROOTFS_DAMAGED", {
    cause,
  });
}

/** The SHA-256 of bytes that pass. */
export class PassingHash {
  readonly #hash = createHash("sha256");

  /** Passes them on. */
  async *through(bytes: Bytes): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      this.#hash.update(chunk);
      yield chunk;
    }
  }

  /** Of what has passed, as OCI writes it: `sha256:HEX`. Once. */
  digest(): string {
    return `sha256:${this.#hash.digest("hex")}`;
  }
}

/** `sha256:HEX` of bytes that are here. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
