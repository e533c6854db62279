/** Our programs in an initramfs, compiled once and kept in the cache. */
import { BuildLog } from "../build_log.ts";
import { type Artifact, ArtifactCache, cacheDirectory } from "../cache.ts";
import { ensureDebianPackages } from "../debian_packages.ts";
import { type BuildOptions, ensureArtifact } from "../ensure.ts";
import { compileFreestanding, FREESTANDING_PACKAGES } from "../freestanding.ts";
import {
  type InitramfsProgramName,
  type InitramfsProgramRecipe,
  readInitramfsProgramRecipe,
} from "../recipe.ts";

/**
 * Path of the program that loads modules and mounts the root (init.c): a static ELF file. Takes gcc's tenth of a
 * second once on a machine.
 *
 * @throws {GuestBuildError} when it is not in the cache and cannot be compiled
 */
export async function compileInitramfsProgram(options: BuildOptions): Promise<string> {
  return await ensureProgram("initramfs-init", options);
}

/**
 * Path of the agent (agent.c): a static ELF file. The same time, once.
 *
 * @throws {GuestBuildError} when it is not in the cache and cannot be compiled
 */
export async function compileAgent(options: BuildOptions): Promise<string> {
  return await ensureProgram("agent", options);
}

/** `name` is that of the artifact in the cache, too. */
async function ensureProgram(name: InitramfsProgramName, options: BuildOptions): Promise<string> {
  const cache = new ArtifactCache(options.cacheDirectory ?? cacheDirectory(), name);
  const recipe = await readInitramfsProgramRecipe(name);
  const make = async (found?: Artifact): Promise<Artifact> =>
    found ?? await compile(cache, name, recipe, options);
  return (await ensureArtifact({ cache, recipe: recipe.key, make }, options)).path;
}

async function compile(
  cache: ArtifactCache,
  name: InitramfsProgramName,
  { key, sources }: InitramfsProgramRecipe,
  { progress, signal }: BuildOptions,
): Promise<Artifact> {
  await using scratch = await cache.scratch();
  using log = await BuildLog.open(cache.logPath);
  const announce = (names: string): void => progress.stage("install packages", names);
  await ensureDebianPackages(FREESTANDING_PACKAGES, { log, announce, signal });
  const file = `${scratch.path}/${name}`;
  await compileFreestanding(sources, { directory: scratch.path, output: file, log, signal });
  return await cache.publish({ recipe: key, key, file, facts: {} });
}
