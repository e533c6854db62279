// Our program in an initramfs, compiled once and kept in the cache.

import { BuildLog } from "../build_log.ts";
import { type Artifact, ArtifactCache, cacheDirectory } from "../cache.ts";
import { ensureDebianPackages } from "../debian_packages.ts";
import { type BuildOptions, ensureArtifact } from "../ensure.ts";
import { compileFreestanding, FREESTANDING_PACKAGES } from "../freestanding.ts";
import { type InitramfsProgramRecipe, readInitramfsProgramRecipe } from "../recipe.ts";

/** Name of the artifact in the cache. */
const PROGRAM = "initramfs-init";

/**
 * Path of the program that loads modules and mounts the root (init.c): a static ELF file. Takes gcc's tenth of a
 * second once on a machine.
 *
 * @throws {GuestBuildError} when it is not in the cache and cannot be compiled
 */
export async function compileInitramfsProgram(options: BuildOptions): Promise<string> {
  const cache = new ArtifactCache(options.cacheDirectory ?? cacheDirectory(), PROGRAM);
  const recipe = await readInitramfsProgramRecipe();
  const make = async (found?: Artifact): Promise<Artifact> =>
    found ?? await compile(cache, recipe, options);
  return (await ensureArtifact({ cache, recipe: recipe.key, make }, options)).path;
}

async function compile(
  cache: ArtifactCache,
  { key, sources }: InitramfsProgramRecipe,
  { progress, signal }: BuildOptions,
): Promise<Artifact> {
  await using scratch = await cache.scratch();
  using log = await BuildLog.open(cache.logPath);
  const announce = (names: string): void => progress.stage("install packages", names);
  await ensureDebianPackages(FREESTANDING_PACKAGES, { log, announce, signal });
  const file = `${scratch.path}/${PROGRAM}`;
  await compileFreestanding(sources, { directory: scratch.path, output: file, log, signal });
  return await cache.publish({ recipe: key, key, file, facts: {} });
}
