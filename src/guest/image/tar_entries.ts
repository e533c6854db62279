/** The entries of a tar archive (POSIX pax, ustar, GNU), one after the other, with what their pax headers say. */
import { type Extract, extract, type TarEntry, type TarHeader } from "../../std/tar_stream.ts";
import { ImageError } from "./errors.ts";
import type { Attributes } from "./tree.ts";

/** Bytes as they come. */
export type Bytes = AsyncIterable<Uint8Array>;

/** How GNU tar and its kin name extended attributes in a pax header. */
const XATTR_PREFIX = "SCHILY.xattr.";
/** As many as Linux lets a file's names of attributes take (XATTR_LIST_MAX), and one's value (XATTR_SIZE_MAX). */
const MAX_XATTR_BYTES = 65_536;

/** An entry. Its data must be read to the end, or given up by `skip`, before the next one is asked for. */
export interface ArchiveEntry {
  readonly header: TarHeader;
  readonly attributes: Attributes;
  readonly data: Bytes;
  skip(): void;
}

/** The reader's own way to look at headers behind an entry's: texts alone would not do for extended attributes. */
interface HeaderHook {
  _header: { readonly type: string };
  _decodeLongHeader(bytes: Uint8Array): void;
}

/** Reads an archive. Rejects with ImageError ROOTFS_DAMAGED, or what reading `bytes` rejects with. */
export async function* tarEntries(bytes: Bytes): AsyncGenerator<ArchiveEntry> {
  const reader = extract();
  let xattrs = new Map<string, Uint8Array>();
  hookPax(reader, (records) => xattrs = xattrsOf(records));
  const fed = feed(reader, bytes);
  fed.catch(() => {}); // whoever asks for nothing more does not hear of it
  try {
    for await (const entry of reader) {
      const own = xattrs;
      xattrs = new Map();
      yield archiveEntry(entry, own);
    }
  } catch (cause) {
    await fed; // what is wrong with the bytes themselves says more
    throw damaged(cause);
  } finally {
    reader.destroy();
  }
  await fed;
}

/** Passes `bytes` on. A failure of theirs ends the reader, and rejects; the reader's own end does not. */
async function feed(reader: Extract, bytes: Bytes): Promise<void> {
  let isClosed = false;
  let wake = (): void => {};
  reader.once("close", () => {
    isClosed = true;
    wake();
  });
  try {
    for await (const chunk of bytes) {
      if (isClosed) return;
      if (reader.write(chunk)) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
        reader.once("drain", resolve);
      });
      if (isClosed) return;
    }
    reader.end();
  } catch (error) {
    reader.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

function archiveEntry(entry: TarEntry, xattrs: ReadonlyMap<string, Uint8Array>): ArchiveEntry {
  const { header } = entry;
  const pax = header.pax ?? {};
  if (header.type === null || "GNU.sparse.major" in pax || "GNU.sparse.size" in pax) {
    throw new ImageError(
      `Cannot unpack ${JSON.stringify(header.name)}: it is of a kind that only some tars know`,
      "ROOTFS_ENTRY",
      { hint: "sparse files and parts of several volumes are not possible: tar without --sparse" },
    );
  }
  const attributes = {
    mode: header.mode & 0o7777,
    uid: wholeNumber(pax["uid"], header.uid),
    gid: wholeNumber(pax["gid"], header.gid),
    mtime: Math.floor(Number(pax["mtime"] ?? NaN) || header.mtime.getTime() / 1000),
    xattrs,
  };
  return { header, attributes, data: dataOf(entry), skip: () => entry.resume() };
}

async function* dataOf(entry: TarEntry): AsyncGenerator<Uint8Array> {
  try {
    yield* entry;
  } catch (cause) {
    throw damaged(cause);
  }
}

function damaged(cause: unknown): ImageError {
  if (cause instanceof ImageError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new ImageError(`Cannot read the tar archive: ${reason}`, "ROOTFS_DAMAGED", { cause });
}

function wholeNumber(text: string | undefined, fallback: number): number {
  const number = text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : fallback;
  return number >= 0 && number < 2 ** 32 ? Math.floor(number) : 0;
}

function hookPax(reader: Extract, take: (bytes: Uint8Array) => void): void {
  // Both have been there for years; the version is pinned, and a test reads bytes that are no UTF-8.
  const hook = reader as unknown as HeaderHook;
  const decode = hook._decodeLongHeader.bind(reader);
  hook._decodeLongHeader = (bytes) => {
    if (hook._header.type === "pax-header") take(bytes);
    decode(bytes);
  };
}

/** The extended attributes among pax records: "LENGTH NAME=VALUE\n" each, LENGTH of all of it. */
function xattrsOf(records: Uint8Array): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  const decoder = new TextDecoder();
  for (let at = 0; at < records.length;) {
    const blank = records.indexOf(0x20, at);
    const size = Number(decoder.decode(records.subarray(at, blank)));
    if (blank < 0 || !Number.isInteger(size) || size < 1) break;
    const record = records.subarray(blank + 1, at + size - 1);
    const equals = record.indexOf(0x3d);
    const name = decoder.decode(record.subarray(0, Math.max(0, equals)));
    if (name.startsWith(XATTR_PREFIX) && record.length - equals <= MAX_XATTR_BYTES) {
      found.set(name.slice(XATTR_PREFIX.length), record.slice(equals + 1));
    }
    at += size;
  }
  return found;
}
