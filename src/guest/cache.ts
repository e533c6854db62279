/**
 * The cache of built guests: one directory with artifacts, stamps, locks and scratch directories.
 * An artifact is named by its content key, a stamp by the recipe that led to it, so that finding the
 * artifact of a known recipe needs one small read and one stat, and no subprocess.
 * Called by mod.ts on the start path (find) and by the builders (lock, scratch, publish).
 */
import { cacheDirectory as placeOfCache } from "../sys/cache_directory.ts";
import { GuestBuildError } from "./errors.ts";

/** How often a builder looks whether the other one has finished. */
const LOCK_POLL_MS = 200;

/** Hex digits of a key that appear in file names: 64 bits, far beyond any accident. */
const NAME_DIGITS = 16;

/** What a stamp says about an artifact. Facts are for people and bug reports: compiler, versions, times. */
export interface Artifact {
  readonly key: string;
  /** A file, or a folder of files. */
  readonly path: string;
  /** Of the file, or of all files in the folder. */
  readonly bytes: number;
  readonly facts: Readonly<Record<string, string>>;
}

/** Something a builder hands over to be kept. */
export interface FreshArtifact {
  /** The recipe it was built from: names the stamp. */
  readonly recipe: string;
  /** The content key: names the artifact. */
  readonly key: string;
  /** The finished file or folder of files, on the cache's file system (in a scratch directory). It is moved. */
  readonly file: string;
  readonly facts: Readonly<Record<string, string>>;
}

/**
 * The directory that holds everything dinovisor builds; see `src/sys/cache_directory.ts`.
 *
 * @throws {GuestBuildError} when no variable tells a place.
 */
export function cacheDirectory(
  variable: (name: string) => string | undefined = environment,
): string {
  const directory = placeOfCache(variable);
  if (directory !== undefined) return directory;
  throw new GuestBuildError("Cannot find a place for the cache: HOME is not set", "GUEST_CACHE", {
    hint: "set DINOVISOR_CACHE to a directory",
  });
}

/** The SHA-256 of some texts as hex digits. Each text goes in with its length, so moving a boundary changes the key. */
export async function contentKey(...texts: readonly string[]): Promise<string> {
  const framed = texts.map((text) => `${text.length}:${text}`).join("");
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(framed));
  return new Uint8Array(digest).toHex();
}

/** One kind of artifact (`vmlinux`, `root.ext2`) in one cache directory. */
export class ArtifactCache {
  readonly #directory: string;
  readonly #kind: string;

  constructor(directory: string, kind: string) {
    this.#directory = `${directory}/guest`;
    this.#kind = kind;
  }

  /** Where the log of the last build is kept. */
  get logPath(): string {
    return `${this.#directory}/${this.#kind}.log`;
  }

  /** The artifact built from this recipe, if there is one and it is whole. A damaged stamp counts as none. */
  async find(recipe: string): Promise<Artifact | undefined> {
    try {
      const stamp = parseStamp(await Deno.readTextFile(this.#stampPath(recipe)));
      if (stamp === undefined) return undefined;
      const path = this.#artifactPath(stamp.key);
      return await contentBytes(path) === stamp.bytes ? { ...stamp, path } : undefined;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw this.#failure("read", error);
    }
  }

  /**
   * Waits until no other process builds this kind, then keeps them out until the lock is disposed.
   * The lock is the kernel's (flock): it goes away with its owner, however that one ends.
   *
   * @param onWait called once, with the process id of the other builder if known
   * @throws the signal's reason when it fires while waiting
   */
  async lock(onWait: (owner: string) => void, signal?: AbortSignal): Promise<CacheLock> {
    signal?.throwIfAborted();
    await this.#makeDirectory();
    const path = `${this.#directory}/${this.#kind}.lock`;
    const file = await Deno.open(path, { create: true, read: true, write: true });
    try {
      if (!await file.tryLock(true)) {
        onWait((await Deno.readTextFile(path)).trim());
        while (!await file.tryLock(true)) await pause(LOCK_POLL_MS, signal);
      }
      await file.truncate();
      await file.write(new TextEncoder().encode(`${Deno.pid}\n`));
      return new CacheLock(file);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * A fresh directory for a build. Call it with the lock held: directories that a killed builder left
   * behind are removed first.
   */
  async scratch(): Promise<ScratchDirectory> {
    await this.#makeDirectory();
    for await (const entry of Deno.readDir(this.#directory)) {
      if (entry.name.startsWith(this.#scratchPrefix)) {
        await Deno.remove(`${this.#directory}/${entry.name}`, { recursive: true });
      }
    }
    return this.#emptyFolder();
  }

  get #scratchPrefix(): string {
    return `${this.#kind}.tmp-`;
  }

  async #emptyFolder(): Promise<ScratchDirectory> {
    const options = { dir: this.#directory, prefix: this.#scratchPrefix };
    return new ScratchDirectory(await Deno.makeTempDir(options));
  }

  /**
   * Moves a finished file or folder into the cache and points its recipe at it. Call it with the lock held. Readers
   * see the old one or the new one; between two folders of one key (a rebuild) they may see none.
   */
  async publish(fresh: FreshArtifact): Promise<Artifact> {
    const path = this.#artifactPath(fresh.key);
    try {
      const bytes = await contentBytes(fresh.file);
      await this.#replace(path, fresh.file);
      const stamp = this.#stampPath(fresh.recipe);
      const draft = `${stamp}.tmp-${Deno.pid}`;
      await Deno.writeTextFile(
        draft,
        JSON.stringify({ key: fresh.key, bytes, facts: fresh.facts }) + "\n",
      );
      await Deno.rename(draft, stamp);
      return { key: fresh.key, path, bytes, facts: fresh.facts };
    } catch (error) {
      throw this.#failure("write to", error);
    }
  }

  /** Notes that the artifact of a recipe is used: `trim` leaves what was used last. */
  async touch(recipe: string): Promise<void> {
    const now = new Date();
    try {
      await Deno.utime(this.#stampPath(recipe), now, now);
    } catch {
      // It is gone, or somebody else's: no reason not to use the artifact.
    }
  }

  /**
   * Removes artifacts but for the `keep` that were made or used last. Call it with the lock held, for a kind whose keys are
   * its recipes. Whoever has an artifact open keeps what he has.
   */
  async trim(keep: number): Promise<void> {
    const stamps: { readonly path: string; readonly used: number }[] = [];
    for await (const { name } of Deno.readDir(this.#directory)) {
      if (!name.startsWith(`${this.#kind}-`) || !name.endsWith(".json")) continue;
      const path = `${this.#directory}/${name}`;
      stamps.push({ path, used: (await Deno.stat(path)).mtime?.getTime() ?? 0 });
    }
    stamps.sort((one, other) => other.used - one.used);
    for (const { path } of stamps.slice(keep)) {
      await Deno.remove(path);
      await Deno.remove(path.slice(0, -".json".length), { recursive: true }).catch(() => {});
    }
  }

  /** A rename puts a file over a file, but no folder over one with something in it. */
  async #replace(path: string, fresh: string): Promise<void> {
    if (!(await Deno.stat(fresh)).isDirectory) return await Deno.rename(fresh, path);
    await using aside = await this.#emptyFolder();
    try {
      await Deno.rename(path, `${aside.path}/replaced`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // it is the first of its key
    }
    await Deno.rename(fresh, path);
  }

  #artifactPath(key: string): string {
    return `${this.#directory}/${this.#kind}-${key.slice(0, NAME_DIGITS)}`;
  }

  #stampPath(recipe: string): string {
    return `${this.#directory}/${this.#kind}-${recipe.slice(0, NAME_DIGITS)}.json`;
  }

  async #makeDirectory(): Promise<void> {
    try {
      await Deno.mkdir(this.#directory, { recursive: true });
    } catch (error) {
      throw this.#failure("create", error);
    }
  }

  #failure(action: string, cause: unknown): GuestBuildError {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new GuestBuildError(
      `Cannot ${action} the cache directory "${this.#directory}": ${reason}`,
      "GUEST_CACHE",
      {
        hint: "set DINOVISOR_CACHE to a directory you can write to",
        cause,
      },
    );
  }
}

/** The right to build one kind of artifact. */
export class CacheLock implements Disposable {
  readonly #file: Deno.FsFile;

  constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  [Symbol.dispose](): void {
    this.#file.close(); // closing the file drops the lock
  }
}

/** A directory that goes away with everything in it. */
export class ScratchDirectory implements AsyncDisposable {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

interface Stamp {
  readonly key: string;
  readonly bytes: number;
  readonly facts: Readonly<Record<string, string>>;
}

/** Bytes of a file, or of the files in a folder. */
async function contentBytes(path: string): Promise<number> {
  const info = await Deno.stat(path);
  if (!info.isDirectory) return info.size;
  let sum = 0;
  for await (const { name } of Deno.readDir(path)) sum += (await Deno.stat(`${path}/${name}`)).size;
  return sum;
}

function parseStamp(text: string): Stamp | undefined {
  try {
    const { key, bytes, facts = {} } = JSON.parse(text);
    return typeof key === "string" && typeof bytes === "number" ? { key, bytes, facts } : undefined;
  } catch {
    return undefined;
  }
}

function environment(name: string): string | undefined {
  return Deno.env.get(name);
}

function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(finish, delayMs);
  function finish(): void {
    clearTimeout(timer);
    signal?.removeEventListener("abort", finish);
    if (signal?.aborted) reject(signal.reason);
    else resolve();
  }
  signal?.addEventListener("abort", finish);
  return promise;
}
