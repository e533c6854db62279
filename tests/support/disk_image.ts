/**
 * Disk images for tests: a directory that goes away again, content from a seed, and the sums and patterns of the
 * tiny guest (tests/guest/README.md) computed on the host's side.
 */
import { O_DIRECT, O_RDONLY } from "../../src/abi/linux.ts";
import { openFile } from "../../src/sys/fd.ts";

const CHUNK_BYTES = 8 * 2 ** 20;
const PATTERN_FACTOR = 2654435761;

/** A directory of its own for one test. */
export class DiskDirectory implements Disposable {
  readonly path: string;

  /** `fast`: in memory, where the host has such a place. */
  constructor(where: "disk" | "fast" = "disk") {
    const dir = where === "fast" && writable("/dev/shm") ? { dir: "/dev/shm" } : {};
    this.path = Deno.makeTempDirSync({ prefix: "dinovisor-test-", ...dir });
  }

  /** An image of `bytes` zeroes. */
  empty(name: string, bytes: number): string {
    const path = `${this.path}/${name}`;
    using file = Deno.openSync(path, { write: true, create: true });
    file.truncateSync(bytes);
    return path;
  }

  /** An image of `bytes` (a multiple of 4) that differ for every seed. */
  random(name: string, bytes: number, seed: number): string {
    const path = `${this.path}/${name}`;
    using file = Deno.openSync(path, { write: true, create: true });
    let state = seed | 1;
    const words = new Uint32Array(Math.min(bytes, CHUNK_BYTES) / 4);
    for (let done = 0; done < bytes;) {
      state = fill(words, state);
      const length = Math.min(words.byteLength, bytes - done);
      writeAll(file, new Uint8Array(words.buffer, 0, length));
      done += length;
    }
    return path;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Why files in the directory for temporary files cannot be opened with O_DIRECT; undefined when they can. */
export function directRefusal(): string | undefined {
  const path = Deno.makeTempFileSync();
  try {
    using _file = openFile(path, O_RDONLY | O_DIRECT);
    return undefined;
  } catch (error) {
    return `no O_DIRECT on ${path}: ${error instanceof Error ? error.message : error}`;
  } finally {
    Deno.removeSync(path);
  }
}

/** Marsaglia's xorshift32; returns the state to go on with. */
function fill(words: Uint32Array, seed: number): number {
  let x = seed | 0;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return x;
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}

/** `length` bytes from `offset` on; fewer at the end of the file. */
export function readRange(path: string, offset: number, length: number): Uint8Array<ArrayBuffer> {
  using file = Deno.openSync(path);
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, readInto(file, bytes));
}

function readInto(file: Deno.FsFile, bytes: Uint8Array): number {
  let done = 0;
  while (done < bytes.length) {
    const count = file.readSync(bytes.subarray(done));
    if (count === null) break;
    done += count;
  }
  return done;
}

/** What the guest's `blk-sum` prints for the whole file: 16 hex digits. */
export function blockSum(path: string): string {
  using file = Deno.openSync(path);
  const words = new Uint32Array(CHUNK_BYTES / 4);
  const bytes = new Uint8Array(words.buffer);
  let plain = 0, weighted = 0, weight = 1;
  for (let count = readInto(file, bytes); count > 0; count = readInto(file, bytes)) {
    for (let i = 0; i < count / 4; i++, weight = (weight + 2) | 0) {
      const word = words[i] ?? 0;
      plain = (plain + word) | 0;
      weighted = (weighted + Math.imul(word, weight)) | 0;
    }
  }
  return hex32(plain) + hex32(weighted);
}

function hex32(word: number): string {
  return (word >>> 0).toString(16).padStart(8, "0");
}

/** What the guest's `blk-write` writes: `bytes` of it from word 0 on. */
export function writtenPattern(bytes: number, seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(bytes / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + seed, PATTERN_FACTOR);
  return new Uint8Array(words.buffer);
}

/** The guest's generated text: byte i is a newline if i % 64 = 63, else 'A' + i % 26. */
export function generatedText(bytes: number): Uint8Array<ArrayBuffer> {
  const text = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) text[i] = i % 64 === 63 ? 10 : 65 + i % 26;
  return text;
}

/** Index of the first byte that differs; -1 when both are equal. For arrays too long to print. */
export function firstDifference(one: Uint8Array, other: Uint8Array): number {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) if (one[i] !== other[i]) return i;
  return one.length === other.length ? -1 : length;
}

function writable(directory: string): boolean {
  try {
    Deno.removeSync(Deno.makeTempFileSync({ dir: directory }));
    return true;
  } catch {
    return false;
  }
}
