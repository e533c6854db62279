/**
 * Builds the default guest kernel from Debian's kernel source. Slow (minutes), so mod.ts imports it only when
 * the cache has no kernel for the recipe. Everything happens in a scratch directory of the cache.
 */
import { BUILD_ENVIRONMENT, BuildLog } from "./build_log.ts";
import { type Artifact, type ArtifactCache, contentKey } from "./cache.ts";
import { ensureDebianPackages, installedVersion } from "./debian_packages.ts";
import { GuestBuildError } from "./errors.ts";
import { type KernelRecipe, refusedOptions, SOURCE_PACKAGE } from "./recipe.ts";
import type { BuildOptions, BuildProgress } from "./mod.ts";

/** What the build runs. gcc only recommends libc6-dev, which the kernel's own tools need. */
const PACKAGES = [
  SOURCE_PACKAGE,
  "gcc",
  "libc6-dev",
  "make",
  "flex",
  "bison",
  "bc",
  "libelf-dev",
  "patch",
  "xz-utils",
];

/** Lines that `make vmlinux` prints for this configuration, counted once. An estimate is all that progress needs. */
const MAKE_LINES = 1310;

/** Where the compilation starts and ends within the whole build, in parts of its time on two cores. */
const COMPILE_BEGINS = 0.08;
const COMPILE_ENDS = 0.97;

/** Names, times and numbers that the kernel would otherwise take from the machine it is built on. */
const REPRODUCIBLE = {
  KBUILD_BUILD_TIMESTAMP: "Thu Jan  1 00:00:00 UTC 1970",
  KBUILD_BUILD_USER: "dinovisor",
  KBUILD_BUILD_HOST: "dinovisor",
  KBUILD_BUILD_VERSION: "1",
  SOURCE_DATE_EPOCH: "0",
};

/** Parts of the source that this build never reads: a third of the archive. Their Kconfig files are needed. */
const UNREAD = [
  "Documentation/*/*",
  "drivers/gpu/*.[ch]",
  "drivers/net/ethernet/*.[ch]",
  "drivers/media/*.[ch]",
]
  .concat(["sound/*.[ch]", "tools/testing/*", "*.dts", "*.dtsi"]);

/**
 * Builds the kernel and publishes it. Call it with the cache's lock held.
 *
 * @throws {GuestBuildError} when packages are missing or a command fails; the log stays at `cache.logPath`
 */
export async function buildKernel(
  cache: ArtifactCache,
  recipe: KernelRecipe,
  options: BuildOptions,
): Promise<Artifact> {
  const { progress, signal } = options;
  requireHost();
  await using scratch = await cache.scratch();
  using log = await BuildLog.open(cache.logPath);
  const announce = (names: string): void => progress.stage("install packages", names);
  await ensureDebianPackages(PACKAGES, { log, announce, signal });
  const version = await installedVersion(SOURCE_PACKAGE) ?? "unknown";
  const key = await kernelKey(recipe, version);
  const build = new KernelBuild(scratch.path, recipe, log, options);
  await build.unpack(version);
  await build.configure();
  await build.compile();
  progress.stage("store");
  const file = await build.strip();
  const facts = {
    source: `${SOURCE_PACKAGE} ${version}`,
    compiler: await firstLine("gcc"),
    linker: await firstLine("ld"),
  };
  const artifact = await cache.publish({ recipe: recipe.key, key, file, facts });
  progress.fraction(1);
  return artifact;
}

/** The content key of the kernel that would be built now, or undefined when the source is not installed. */
export async function currentKernelKey(recipe: KernelRecipe): Promise<string | undefined> {
  const version = await installedVersion(SOURCE_PACKAGE);
  return version === undefined ? undefined : await kernelKey(recipe, version);
}

function kernelKey(recipe: KernelRecipe, version: string): Promise<string> {
  return contentKey(recipe.key, SOURCE_PACKAGE, version);
}

/** The steps of one build, in a directory of its own. */
class KernelBuild {
  readonly #directory: string;
  readonly #recipe: KernelRecipe;
  readonly #log: BuildLog;
  readonly #progress: BuildProgress;
  readonly #signal: AbortSignal | undefined;

  constructor(directory: string, recipe: KernelRecipe, log: BuildLog, options: BuildOptions) {
    this.#directory = directory;
    this.#recipe = recipe;
    this.#log = log;
    this.#progress = options.progress;
    this.#signal = options.signal;
  }

  get #source(): string {
    return `${this.#directory}/${SOURCE_PACKAGE}`;
  }

  async unpack(version: string): Promise<void> {
    this.#progress.stage("unpack", `${SOURCE_PACKAGE} ${version}`);
    this.#progress.fraction(0);
    const excludes = UNREAD.map((pattern) => `--exclude=${SOURCE_PACKAGE}/${pattern}`);
    const archive = `/usr/src/${SOURCE_PACKAGE}.tar.xz`;
    await this.#run([
      "tar",
      "-x",
      "-I",
      "xz -T0",
      "-f",
      archive,
      "-C",
      this.#directory,
      ...excludes,
    ]);
    for (const { name, text } of this.#recipe.patches) {
      const path = `${this.#directory}/${name}`;
      await Deno.writeTextFile(path, text);
      await this.#run(["patch", "--batch", "--forward", "-p1", "-i", path]);
    }
  }

  async configure(): Promise<void> {
    this.#progress.stage("configure");
    const path = `${this.#directory}/guest.config`;
    await Deno.writeTextFile(path, this.#recipe.config);
    await this.#make([`KCONFIG_ALLCONFIG=${path}`, "allnoconfig"]);
    const refused = refusedOptions(
      this.#recipe.config,
      await Deno.readTextFile(`${this.#source}/.config`),
    );
    if (refused.length === 0) return;
    throw new GuestBuildError(
      `Cannot configure the kernel: it does not take "${refused.join(" ")}"`,
      "GUEST_CONFIG",
    );
  }

  async compile(): Promise<void> {
    this.#progress.stage("compile");
    let lines = 0;
    const onLine = (): void => {
      const part = Math.min(++lines / MAKE_LINES, 1);
      this.#progress.fraction(COMPILE_BEGINS + part * (COMPILE_ENDS - COMPILE_BEGINS));
    };
    await this.#make([
      `-j${navigator.hardwareConcurrency}`,
      `KCFLAGS=${this.#recipe.compilerFlags}`,
      "vmlinux",
    ], onLine);
  }

  /** Drops symbols; program headers and the PVH note are what the monitor reads. */
  async strip(): Promise<string> {
    const file = `${this.#directory}/vmlinux`;
    await this.#run(["objcopy", "--strip-all", "vmlinux", file]);
    return file;
  }

  #make(args: readonly string[], onLine?: () => void): Promise<void> {
    return this.#run(["make", ...args], onLine);
  }

  #run(command: readonly string[], onLine?: () => void): Promise<void> {
    return this.#log.run(command, {
      directory: command[0] === "tar" ? this.#directory : this.#source,
      environment: { ...BUILD_ENVIRONMENT, ...REPRODUCIBLE },
      signal: this.#signal,
      ...(onLine === undefined ? {} : { onLine }),
    });
  }
}

function requireHost(): void {
  const host = `${Deno.build.arch} ${Deno.build.os}`;
  if (host === "x86_64 linux") return;
  throw new GuestBuildError(`Cannot build the default kernel on "${host}"`, "GUEST_HOST", {
    hint: "pass a kernel of your own with --kernel PATH",
  });
}

async function firstLine(program: string): Promise<string> {
  const { stdout } = await new Deno.Command(program, { args: ["--version"], stderr: "null" })
    .output();
  return new TextDecoder().decode(stdout).split("\n")[0] ?? "";
}
