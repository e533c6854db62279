/**
 * Downloads a Debian cloud kernel and makes the initramfs it boots with. No root is needed, and the system's package
 * state stays as it is. stock_kernel.ts imports this only when the cache has no kernel for the recipe.
 */
import { BuildLog } from "./build_log.ts";
import { type Artifact, type ArtifactCache, contentKey } from "./cache.ts";
import { DebianArchive } from "./debian_archive.ts";
import type { BuildOptions } from "./ensure.ts";
import { GuestBuildError } from "./errors.ts";
import { buildInitramfs, compileInitramfsProgram } from "./initramfs/mod.ts";
import { STOCK_FILES, type StockRecipe } from "./stock_recipe.ts";
import {
  KERNEL_PACKAGE,
  type KernelPackages,
  kernelPackages,
  META_PACKAGE,
} from "./stock_packages.ts";

/** Where the steps begin within the whole, in parts of its time on a fast network. */
const LISTS_READ = 0.3;
const DOWNLOADED = 0.7;
const UNPACKED = 0.85;

/**
 * Gets the kernel and publishes it. Call it with the cache's lock held. With `found`, only if the archive has a newer
 * one; when the archive cannot be reached, `found` stays.
 *
 * @throws {GuestBuildError} when it cannot be downloaded or unpacked; the log stays at `cache.logPath`
 */
export async function buildStockKernel(
  cache: ArtifactCache,
  recipe: StockRecipe,
  options: BuildOptions,
  found?: Artifact,
): Promise<Artifact> {
  await using scratch = await cache.scratch();
  using log = await BuildLog.open(cache.logPath);
  const build = new StockKernelBuild(scratch.path, recipe, log, options);
  let archive: DebianArchive;
  try {
    archive = await build.openArchive();
  } catch (error) {
    if (found === undefined || !(error instanceof GuestBuildError)) throw error;
    options.progress.stage("keep what is there", error.message);
    return found;
  }
  const source = kernelPackages(await archive.closure(META_PACKAGE, KERNEL_PACKAGE), recipe.suite);
  const names = source.packages.map(({ name, version }) => `${name} ${version}`);
  const key = await contentKey(recipe.key, ...names);
  if (found !== undefined && key === found.key) return found;
  await build.download(archive, source);
  const modules = await build.assemble(source);
  options.progress.stage("store");
  const facts = {
    suite: `Debian ${recipe.suite}`,
    release: source.release,
    packages: names.join(", "),
    modules: modules.join(" "),
  };
  const artifact = await cache.publish({ recipe: recipe.key, key, file: build.result, facts });
  options.progress.fraction(1);
  return artifact;
}

/** The steps of one download, in a directory of its own. */
class StockKernelBuild {
  readonly #directory: string;
  readonly #recipe: StockRecipe;
  readonly #log: BuildLog;
  readonly #options: BuildOptions;
  /** The step that a download is for: where it begins and ends within the whole. */
  #span: readonly [begin: number, end: number] = [0, LISTS_READ];

  constructor(directory: string, recipe: StockRecipe, log: BuildLog, options: BuildOptions) {
    this.#directory = directory;
    this.#recipe = recipe;
    this.#log = log;
    this.#options = options;
  }

  /** The finished folder. */
  get result(): string {
    return `${this.#directory}/result`;
  }

  get #tree(): string {
    return `${this.#directory}/tree`;
  }

  async openArchive(): Promise<DebianArchive> {
    const { suite } = this.#recipe;
    this.#begin("package lists", `Debian ${suite}`, [0, LISTS_READ]);
    const directory = `${this.#directory}/apt`;
    await Deno.mkdir(directory);
    return await DebianArchive.open(suite, {
      directory,
      log: this.#log,
      signal: this.#options.signal,
      onFraction: (done) => {
        const [begin, end] = this.#span;
        this.#options.progress.fraction(begin + done * (end - begin));
      },
    });
  }

  async download(archive: DebianArchive, { release, packages }: KernelPackages): Promise<void> {
    const bytes = packages.reduce((sum, { size }) => sum + size, 0);
    const detail = `linux ${release}, ${Math.round(bytes / 1e6)} MB`;
    this.#begin("download", detail, [LISTS_READ, DOWNLOADED]);
    await archive.unpack(packages, this.#tree);
  }

  /** Makes the folder with kernel and initramfs; returns the modules in it, first loaded first. */
  async assemble({ release }: KernelPackages): Promise<readonly string[]> {
    this.#begin("initramfs", undefined, [UNPACKED, 1]);
    await Deno.mkdir(this.result);
    const moduleFolder = await this.#pick([`lib/modules/${release}`, `usr/lib/modules/${release}`]);
    const kernel = await this.#pick([
      `boot/vmlinuz-${release}`,
      `usr/lib/modules/${release}/vmlinuz`,
    ]);
    await Deno.rename(kernel, `${this.result}/${STOCK_FILES.kernel}`);
    const { bytes, loadOrder } = await buildInitramfs({
      moduleFolder,
      optionalModules: this.#recipe.modules,
      program: await compileInitramfsProgram(this.#options),
    });
    await Deno.writeFile(`${this.result}/${STOCK_FILES.initrd}`, bytes);
    return loadOrder;
  }

  /** Where the unpacked packages have a file or folder. */
  async #pick(names: readonly string[]): Promise<string> {
    for (const name of names) {
      try {
        await Deno.stat(`${this.#tree}/${name}`);
        return `${this.#tree}/${name}`;
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    throw new GuestBuildError(
      `Cannot find "${
        names.join('" or "')
      }" in the kernel's packages of Debian ${this.#recipe.suite}`,
      "GUEST_PACKAGES",
      { hint: "pass a kernel of your own with --kernel PATH" },
    );
  }

  #begin(name: string, detail: string | undefined, span: readonly [number, number]): void {
    this.#span = span;
    this.#options.progress.stage(name, detail);
    this.#options.progress.fraction(span[0]);
  }
}
