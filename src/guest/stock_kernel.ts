/**
 * Debian's own cloud kernels: the package as it is, and an initramfs of ours that loads its virtio modules and mounts
 * root=. This page finds them in the cache; stock_kernel_build.ts downloads them.
 */
import { type Artifact, ArtifactCache, cacheDirectory } from "./cache.ts";
import type { DebianSuite } from "./debian_archive.ts";
import { type BuildOptions, ensureArtifact } from "./ensure.ts";
import { readStockRecipe, STOCK_FILES } from "./stock_recipe.ts";

/** A distribution's kernel with what it needs to find its root. */
export interface StockKernel {
  readonly suite: DebianSuite;
  /** The kernel's release, as in `uname -r`: `6.1.0-50-cloud-amd64`. */
  readonly version: string;
  /** Path of the bzImage. */
  readonly kernel: string;
  /** Path of the initramfs: it loads the modules, mounts `root=` and runs `/sbin/init` there. */
  readonly initrd: string;
  /** Content key: the recipe and the package's version. */
  readonly key: string;
  /** What it was made from, for people. */
  readonly facts: Readonly<Record<string, string>>;
}

/** A stock kernel, and what it took to get it. */
export interface EnsuredStockKernel extends StockKernel {
  /** False if it came from the cache. */
  readonly built: boolean;
  readonly elapsedMs: number;
}

/**
 * The newest cloud kernel of a Debian suite. The first call downloads about 40 MB and takes less than a minute; with
 * `refresh` it asks for a newer package, and keeps what is there when the archive cannot be reached.
 *
 * @throws {GuestBuildError} when it is not in the cache and cannot be downloaded
 */
export async function ensureStockKernel(
  suite: DebianSuite,
  options: BuildOptions,
): Promise<EnsuredStockKernel> {
  const cache = stockCache(suite, options.cacheDirectory ?? cacheDirectory());
  const recipe = await readStockRecipe(suite);
  const { built, elapsedMs, ...artifact } = await ensureArtifact({
    cache,
    recipe: recipe.key,
    async make(found) {
      const { buildStockKernel } = await import("./stock_kernel_build.ts");
      return await buildStockKernel(cache, recipe, options, found);
    },
  }, options);
  return { ...stockKernel(suite, artifact), built, elapsedMs };
}

/** The cloud kernel of a suite, if the cache has one made by the present recipe: two reads, no subprocess. */
export async function findStockKernel(
  suite: DebianSuite,
  directory: string = cacheDirectory(),
): Promise<StockKernel | undefined> {
  const recipe = await readStockRecipe(suite);
  const found = await stockCache(suite, directory).find(recipe.key);
  return found === undefined ? undefined : stockKernel(suite, found);
}

function stockCache(suite: DebianSuite, directory: string): ArtifactCache {
  return new ArtifactCache(directory, `debian-${suite}`);
}

function stockKernel(
  suite: DebianSuite,
  { path, key, facts }: Pick<Artifact, "path" | "key" | "facts">,
): StockKernel {
  return {
    suite,
    version: facts["release"] ?? "unknown",
    kernel: `${path}/${STOCK_FILES.kernel}`,
    initrd: `${path}/${STOCK_FILES.initrd}`,
    key,
    facts,
  };
}
