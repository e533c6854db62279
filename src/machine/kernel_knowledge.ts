/**
 * What is known about kernel files, so that each is looked into once: for this process in memory, for the next ones
 * in the user's cache. A cache that cannot be read or written costs time and nothing else.
 */
import type { KernelContents } from "../arch/mod.ts";
import { cacheDirectory } from "../sys/cache_directory.ts";
import { inspectContents } from "./kernel_image.ts";

/** Counts up when the search finds something else in the same kernel: older answers are forgotten. */
const SCANNER_VERSION = 2;
/** A smaller kernel is searched faster than its answer is found. */
const WORTH_KEEPING_BYTES = 2 ** 20;

/** One answer, and the file it is about. Also the cached JSON. */
interface Entry {
  readonly scanner: number;
  /** Device and inode: asking for the real path takes six more system calls, at each of several looks. */
  readonly file: string;
  /** Bytes. */
  readonly size: number;
  /** Last change, in ms since 1970. */
  readonly changed: number;
  readonly contents: KernelContents;
}

const known = new Map<string, Entry>();

/** What the kernel in the file `path` can do; see `inspectContents`. Under a millisecond when it is known already. */
export function kernelContents(path: string): KernelContents {
  const file = identityOf(path);
  if (file === undefined) return inspectContents(path); // which says why
  const before = known.get(file.file);
  if (isAbout(before, file)) return before.contents;
  const kept = file.size < WORTH_KEEPING_BYTES ? undefined : readEntry(file.file);
  if (isAbout(kept, file)) {
    known.set(file.file, kept);
    return kept.contents;
  }
  const entry: Entry = { ...file, contents: inspectContents(path) };
  known.set(file.file, entry);
  // The reason why it could not be looked into may go away: a library gets installed.
  if (entry.contents.kind !== "closed" && file.size >= WORTH_KEEPING_BYTES) keepEntry(entry);
  return entry.contents;
}

/** Forgets what this process knows; for tests of what is kept on disk. */
export function forgetKernels(): void {
  known.clear();
}

type FileIdentity = Omit<Entry, "contents">;

function identityOf(path: string): FileIdentity | undefined {
  try {
    const { dev, ino, size, mtime } = Deno.statSync(path);
    return {
      scanner: SCANNER_VERSION,
      file: `${dev}:${ino}`,
      size,
      changed: mtime?.getTime() ?? 0,
    };
  } catch {
    return undefined;
  }
}

function isAbout(entry: Entry | undefined, file: FileIdentity): entry is Entry {
  return entry !== undefined && entry.scanner === file.scanner && entry.file === file.file &&
    entry.size === file.size && entry.changed === file.changed;
}

function readEntry(file: string): Entry | undefined {
  try {
    const entry: Entry = JSON.parse(Deno.readTextFileSync(entryPath(file)));
    // isAbout() compares the rest; only this process and its like write here, so the shape is what it was.
    return entry.contents.kind === "linux" && Array.isArray(entry.contents.features) ||
        entry.contents.kind === "other"
      ? entry
      : undefined;
  } catch {
    return undefined; // not there, not readable, not whole
  }
}

function keepEntry(entry: Entry): void {
  try {
    const path = entryPath(entry.file);
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    // Another process may be writing the same: a rename shows readers one whole answer or the other.
    const draft = `${path}.tmp-${Deno.pid}`;
    Deno.writeTextFileSync(draft, `${JSON.stringify(entry)}\n`);
    Deno.renameSync(draft, path);
  } catch {
    // Next time it is searched again.
  }
}

/** One small file for each kernel. Two with one name displace each other, which costs a search. */
function entryPath(file: string): string {
  const directory = cacheDirectory((name) => Deno.env.get(name));
  if (directory === undefined) throw new Error("No cache directory");
  return `${directory}/kernels/${fnv1a(file).toString(16).padStart(8, "0")}.json`;
}

/** FNV-1a, 32 bits: crypto.subtle answers only through a promise. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
