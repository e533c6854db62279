// The default guest: a kernel and a root image, built on this machine once and kept in a cache.
// This page is on the start path: it reads a recipe and a stamp (about a millisecond, no subprocess) and imports
// the builders only when there is something to build.

import { type Artifact, ArtifactCache, cacheDirectory, type CacheLock } from "./cache.ts";
import { readKernelRecipe, readRootRecipe } from "./recipe.ts";

export { cacheDirectory } from "./cache.ts";
export { GuestBuildError } from "./errors.ts";
export type { GuestBuildCode } from "./errors.ts";

/** Names of the artifacts in the cache. */
const KERNEL = "vmlinux";
const ROOT_IMAGE = "root.ext2";

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
  /** Also ask the package database for a newer source, which costs a subprocess: for `dinovisor kernel build`. */
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

/**
 * The default guest kernel, an ELF vmlinux with a PVH note. The first call on a machine takes minutes.
 *
 * @throws {GuestBuildError} when it is not in the cache and cannot be built
 */
export async function ensureKernel(options: BuildOptions): Promise<GuestFile> {
  const begin = performance.now();
  const cache = new ArtifactCache(options.cacheDirectory ?? cacheDirectory(), KERNEL);
  const recipe = await readKernelRecipe();
  const found = await lookUp(cache, recipe.key, options);
  if (found !== undefined && !(options.refresh && await newerSource(found, recipe))) {
    return reused(found, begin);
  }
  using lock = await locked(cache, options);
  const other = lock.waited ? await cache.find(recipe.key) : undefined; // what we waited for
  if (other !== undefined) return reused(other, begin);
  const { buildKernel } = await import("./kernel_build.ts");
  return fresh(await buildKernel(cache, recipe, options), begin);
}

/**
 * The default root image, a small ext2 file system with a shell. It is never written to: mount it read-only.
 *
 * @throws {GuestBuildError} when it is not in the cache and cannot be built
 */
export async function ensureRootImage(options: BuildOptions): Promise<GuestFile> {
  const begin = performance.now();
  const cache = new ArtifactCache(options.cacheDirectory ?? cacheDirectory(), ROOT_IMAGE);
  const recipe = await readRootRecipe();
  const found = await lookUp(cache, recipe.key, options);
  if (found !== undefined) return reused(found, begin);
  using lock = await locked(cache, options);
  const other = lock.waited ? await cache.find(recipe.key) : undefined;
  if (other !== undefined) return reused(other, begin);
  const { buildRootImage } = await import("./root_image.ts");
  return fresh(await buildRootImage(cache, recipe, options), begin);
}

/** Kernel and root image, if both are in the cache as the recipes want them now: a few milliseconds, no build. */
export async function findGuest(
  directory: string = cacheDirectory(),
): Promise<{ readonly kernel: string; readonly root: string } | undefined> {
  const [kernelRecipe, rootRecipe] = await Promise.all([readKernelRecipe(), readRootRecipe()]);
  const [kernel, root] = await Promise.all([
    new ArtifactCache(directory, KERNEL).find(kernelRecipe.key),
    new ArtifactCache(directory, ROOT_IMAGE).find(rootRecipe.key),
  ]);
  if (kernel === undefined || root === undefined) return undefined;
  return { kernel: kernel.path, root: root.path };
}

/**
 * The word that makes the default guest run a shell command instead of a shell, and end with its status.
 * The kernel takes 2047 bytes of command line in all, so longer scripts need another way in.
 */
export function execWord(command: string): string {
  return `dinovisor.exec=${new TextEncoder().encode(command).toBase64()}`;
}

function lookUp(
  cache: ArtifactCache,
  recipe: string,
  options: BuildOptions,
): Promise<Artifact | undefined> {
  return options.rebuild ? Promise.resolve(undefined) : cache.find(recipe);
}

async function newerSource(
  found: Artifact,
  recipe: Awaited<ReturnType<typeof readKernelRecipe>>,
): Promise<boolean> {
  const { currentKernelKey } = await import("./kernel_build.ts");
  const key = await currentKernelKey(recipe);
  return key !== undefined && key !== found.key;
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

function reused(artifact: Artifact, begin: number): GuestFile {
  return guestFile(artifact, false, begin);
}

function fresh(artifact: Artifact, begin: number): GuestFile {
  return guestFile(artifact, true, begin);
}

function guestFile({ path, key, facts }: Artifact, built: boolean, begin: number): GuestFile {
  return { path, key, built, elapsedMs: performance.now() - begin, facts };
}
