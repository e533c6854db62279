/**
 * Finds an artifact of the default guest in the cache, or has it made: once, by one process at a time.
 * On the start path: a hit is one read and one stat, or two.
 */
import { type Artifact, type ArtifactCache, type CacheLock } from "./cache.ts";

/** Who watches a build. */
export interface BuildProgress {
  /** A new step begins. */
  stage(name: string, detail?: string): void;
  /** How much of the whole build is done, 0 to 1. */
  fraction(done: number): void;
}

/** How to look for an artifact, or build it. */
export interface BuildOptions {
  readonly progress: BuildProgress;
  /** Ends the build and removes what it has written, its log aside. */
  readonly signal?: AbortSignal | undefined;
  /** Build even if the cache has the artifact. */
  readonly rebuild?: boolean;
  /** Also ask for a newer package to make it from, which costs time: for `dinovisor kernel build`. */
  readonly refresh?: boolean;
  /** Another cache directory than the user's. */
  readonly cacheDirectory?: string;
}

/** A file of the default guest. */
export interface GuestFile {
  readonly path: string;
  /** Content key: the recipe and the versions of the packages it was built from. */
  readonly key: string;
  /** False if it came from the cache. */
  readonly built: boolean;
  readonly elapsedMs: number;
  /** What it was built from and with, for people. */
  readonly facts: Readonly<Record<string, string>>;
}

/** One artifact: where it is kept, and how it is made. */
export interface ArtifactSource {
  readonly cache: ArtifactCache;
  /** Key of the recipe. */
  readonly recipe: string;
  /**
   * Makes and publishes it, called with the cache's lock held. With `found`, only if that is not the newest any
   * more; else it returns `found` itself.
   */
  make(found?: Artifact): Promise<Artifact>;
}

/** Finds or makes an artifact. Rejects with the signal's reason, or what `make` rejects with. */
export async function ensureArtifact(
  source: ArtifactSource,
  options: BuildOptions,
): Promise<GuestFile> {
  const begin = performance.now();
  const { cache, recipe } = source;
  const found = options.rebuild ? undefined : await cache.find(recipe);
  if (found !== undefined && !options.refresh) return guestFile(found, false, begin);
  using lock = await locked(cache, options);
  const others = lock.waited ? await cache.find(recipe) : undefined; // what we waited for
  if (others !== undefined) return guestFile(others, false, begin);
  const made = await source.make(found);
  return guestFile(made, made !== found, begin);
}

async function locked(
  cache: ArtifactCache,
  options: BuildOptions,
): Promise<Disposable & { waited: boolean }> {
  let waited = false;
  const onWait = (owner: string): void => {
    waited = true;
    options.progress.stage(
      "wait",
      owner === "" ? "another build is running" : `process ${owner} is building`,
    );
  };
  const lock: CacheLock = await cache.lock(onWait, options.signal);
  return { waited, [Symbol.dispose]: () => lock[Symbol.dispose]() };
}

function guestFile({ path, key, facts }: Artifact, built: boolean, begin: number): GuestFile {
  return { path, key, built, elapsedMs: performance.now() - begin, facts };
}
