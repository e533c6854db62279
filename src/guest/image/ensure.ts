/**
 * From a root file system of the user's to a disk image in the cache, with our init and agent in it: made once for each
 * state of its source. Imported when there is such a source.
 */
import { BuildLog } from "../build_log.ts";
import { type Artifact, ArtifactCache, cacheDirectory, contentKey } from "../cache.ts";
import { ensureDebianPackages } from "../debian_packages.ts";
import { dhcpScript } from "../dhcp_script.ts";
import { type BuildOptions, ensureArtifact } from "../ensure.ts";
import { ensureRootImage } from "../mod.ts";
import { readRootRecipe } from "../recipe.ts";
import { type ImageConfig, PLAIN_ROOT } from "./config.ts";
import { makeExt4 } from "./ext4.ts";
import { readHostTree } from "./host_tree.ts";
import { layOutHostTree, layOutTree, type OwnFiles, type RootLayout } from "./root_layout.ts";
import { type KnownSource, knownSource, type RootSource } from "./source.ts";

const KIND = "rootfs.ext4";
/** Images that stay in the cache: each change of a directory makes another one. */
const KEPT_IMAGES = 16;
/** Raise it when the way of building changes and the files do not. */
const RECIPE_VERSION = "1";
const PACKAGES = ["e2fsprogs"];
/** Our programs in the default root, and in our folder of a root of the user's. */
const PROGRAMS = { init: "/sbin/init", agent: "/sbin/agent", busybox: "/bin/busybox" } as const;

const DHCP_SCRIPT = dhcpScript("/.dinovisor/busybox");

/** A root as a disk. */
export interface PreparedRoot {
  /** Path of the disk image. It is never written to, unless it is the user's own. */
  readonly path: string;
  /** Whether our init and agent are in it. */
  readonly hasAgent: boolean;
  readonly config: ImageConfig;
  /** False: it came from the cache, or is the user's own. */
  readonly built: boolean;
}

/** What is asked for. */
export interface RootRequest {
  readonly source: RootSource;
  /** Size of its file system in bytes; undefined: what suits the contents, at least 1 GiB. */
  readonly bytes: number | undefined;
}

interface Made {
  readonly layout: RootLayout;
  readonly config: ImageConfig;
}

/**
 * Finds or makes the image of a root.
 *
 * @throws {ImageError} when the source cannot become a root
 * @throws {GuestBuildError} when a program fails or is not there
 */
export async function ensureRoot(
  { source, bytes }: RootRequest,
  options: BuildOptions,
): Promise<PreparedRoot> {
  const known = knownSource(source);
  if (known.kind === "disk") {
    return { path: known.path, hasAgent: false, config: PLAIN_ROOT, built: false };
  }
  const cache = new ArtifactCache(options.cacheDirectory ?? cacheDirectory(), KIND);
  const { key: programs } = await readRootRecipe();
  const key = await contentKey(
    RECIPE_VERSION,
    DHCP_SCRIPT,
    programs,
    String(bytes ?? ""),
    await stateOf(known),
  );
  const make = async (): Promise<Artifact> => {
    await using scratch = await cache.scratch();
    using log = await BuildLog.open(cache.logPath);
    const build = new RootBuild(scratch.path, log, options);
    const { layout, config } = await build.layOut(known);
    options.progress.stage("root image", "packing");
    const { signal } = options;
    const file = await makeExt4({ ...layout, bytes }, { scratch: scratch.path, log, signal });
    const facts = { image: JSON.stringify(config) };
    const artifact = await cache.publish({ recipe: key, key, file, facts });
    await cache.trim(KEPT_IMAGES);
    return artifact;
  };
  const { path, facts, built } = await ensureArtifact({
    cache,
    recipe: key,
    make: (found) => found === undefined ? make() : Promise.resolve(found),
  }, options);
  if (!built) await cache.touch(key);
  return { path, hasAgent: true, config: JSON.parse(facts["image"] ?? "{}"), built };
}

/** A text that changes when the source does. */
async function stateOf(known: KnownSource): Promise<string> {
  switch (known.kind) {
    case "disk":
      return "";
    case "directory":
      return `directory ${(await readHostTree(known.path)).fingerprint}`;
    case "layout": {
      const [{ DirectoryFiles }, { findImage }] = await Promise.all([
        import("./image_files.ts"),
        import("./manifest.ts"),
      ]);
      return `image ${(await findImage(new DirectoryFiles(known.path), known.ref)).id}`;
    }
    case "archive": {
      // To read it all would take as long as the rest of the start. No write leaves the time of change as it was.
      const { dev, ino, size, mtime, ctime } = known.stat;
      const times = [mtime, ctime].map((time) => time?.getTime());
      return ["archive", known.content, known.ref, dev, ino, size, ...times].join(" ");
    }
  }
}

/** The steps of one build, in a directory of its own. */
class RootBuild {
  readonly #scratch: string;
  readonly #log: BuildLog;
  readonly #options: BuildOptions;

  constructor(scratch: string, log: BuildLog, options: BuildOptions) {
    this.#scratch = scratch;
    this.#log = log;
    this.#options = options;
  }

  async layOut(known: Exclude<KnownSource, { kind: "disk" }>): Promise<Made> {
    const { progress, signal } = this.#options;
    const own = await this.#ownFiles();
    if (known.kind === "directory") {
      const layout = layOutHostTree(await readHostTree(known.path), own);
      return { layout, config: PLAIN_ROOT };
    }
    const { unpackSource } = await import("./unpack.ts");
    const { tree, config } = await unpackSource(known, {
      scratch: this.#scratch,
      onLayer: (number, count) => progress.stage("root image", `layer ${number} of ${count}`),
      signal,
    });
    return { layout: await layOutTree(tree, own, this.#scratch), config };
  }

  /** Our programs, for the folder of their own in the image: the default root has them, so nothing is compiled again. */
  async #ownFiles(): Promise<OwnFiles> {
    const { progress, signal } = this.#options;
    const log = this.#log;
    await ensureDebianPackages(PACKAGES, {
      log,
      purpose: "make a root image",
      announce: (names) => progress.stage("install packages", names),
      signal,
    });
    const { cacheDirectory: directory } = this.#options;
    const root = await ensureRootImage({
      progress,
      signal,
      ...(directory === undefined ? {} : { cacheDirectory: directory }),
    });
    const own = `${this.#scratch}/own`;
    await Deno.mkdir(own);
    for (const [name, path] of Object.entries(PROGRAMS)) {
      await log.run(["debugfs", "-R", `dump ${path} own/${name}`, root.path], {
        directory: this.#scratch,
        signal,
      });
    }
    await Deno.writeTextFile(`${own}/udhcpc`, DHCP_SCRIPT);
    const names = [...Object.keys(PROGRAMS), "udhcpc"];
    return Object.fromEntries(names.map((name) => [name, `${own}/${name}`]));
  }
}
