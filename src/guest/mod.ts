/**
 * The default guest: a kernel (built from source on this machine, or a distribution's own) and a root image, kept
 * in a cache. This page is on the start path: it reads a recipe and a stamp (about a millisecond, no subprocess) and
 * imports the builders only when there is something to build.
 */
import { ArtifactCache, cacheDirectory } from "./cache.ts";
import { type BuildOptions, ensureArtifact, type GuestFile } from "./ensure.ts";
import { readKernelRecipe, readRootRecipe } from "./recipe.ts";

export { cacheDirectory } from "./cache.ts";
export type { DebianSuite } from "./debian_archive.ts";
export type { BuildOptions, BuildProgress, GuestFile } from "./ensure.ts";
export { GuestBuildError } from "./errors.ts";
export type { GuestBuildCode } from "./errors.ts";
export { ensureStockKernel, findStockKernel } from "./stock_kernel.ts";
export type { StockKernel } from "./stock_kernel.ts";

/** Names of the artifacts in the cache. */
const KERNEL = "vmlinux";
const ROOT_IMAGE = "root.ext2";

/**
 * Our own kernel, an ELF vmlinux with a PVH note. The first call on a machine takes minutes.
 *
 * @throws {GuestBuildError} when it is not in the cache and cannot be built
 */
export async function ensureKernel(options: BuildOptions): Promise<GuestFile> {
  const cache = new ArtifactCache(options.cacheDirectory ?? cacheDirectory(), KERNEL);
  const recipe = await readKernelRecipe();
  return await ensureArtifact({
    cache,
    recipe: recipe.key,
    async make(found) {
      const { buildKernel, currentKernelKey } = await import("./kernel_build.ts");
      const newest = found === undefined ? undefined : await currentKernelKey(recipe);
      if (found !== undefined && (newest === undefined || newest === found.key)) return found;
      return await buildKernel(cache, recipe, options);
    },
  }, options);
}

/**
 * The default root image, a small ext2 file system with a shell. It is never written to: mount it read-only.
 *
 * @throws {GuestBuildError} when it is not in the cache and cannot be built
 */
export async function ensureRootImage(options: BuildOptions): Promise<GuestFile> {
  const cache = new ArtifactCache(options.cacheDirectory ?? cacheDirectory(), ROOT_IMAGE);
  const recipe = await readRootRecipe();
  return await ensureArtifact({
    cache,
    recipe: recipe.key,
    async make(found) {
      if (found !== undefined) return found; // a newer busybox makes no better image
      const { buildRootImage } = await import("./root_image.ts");
      return await buildRootImage(cache, recipe, options);
    },
  }, options);
}

/** Our own kernel, if the cache has it as the recipe wants it now: a few milliseconds, no build. */
export async function findKernel(
  directory: string = cacheDirectory(),
): Promise<string | undefined> {
  const recipe = await readKernelRecipe();
  return (await new ArtifactCache(directory, KERNEL).find(recipe.key))?.path;
}

/** The default root image, if the cache has it as the recipe wants it now. */
export async function findRootImage(
  directory: string = cacheDirectory(),
): Promise<string | undefined> {
  const recipe = await readRootRecipe();
  return (await new ArtifactCache(directory, ROOT_IMAGE).find(recipe.key))?.path;
}

/**
 * The word that makes the default guest run a shell command instead of a shell, and end with its status: for kernels that
 * have no vsock for the agent. Tests use it.
 * The kernel takes 2047 bytes of command line in all, so longer scripts need another way in.
 */
export function execWord(command: string): string {
  return `dinovisor.exec=${new TextEncoder().encode(command).toBase64()}`;
}
