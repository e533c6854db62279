/**
 * A root image with real tools for Linux guests: the default root image (busybox, our init), fio, mkfs.ext4, socat and
 * ethtool from Debian bookworm, and `work` from tests/linux. Built once for every recipe and kept in the user's cache.
 * Run directly, it prints the path of the image.
 */
import { BUILD_ENVIRONMENT, BuildLog } from "../../src/guest/build_log.ts";
import { ArtifactCache, cacheDirectory, contentKey } from "../../src/guest/cache.ts";
import { DebianArchive } from "../../src/guest/debian_archive.ts";
import { ensureDebianPackages } from "../../src/guest/debian_packages.ts";
import { ensureRootImage } from "../../src/guest/mod.ts";
import { missingLibrary, neededLibraries } from "./shared_objects.ts";

const PROGRAMS = new URL("../linux/", import.meta.url).pathname;
const HOST_PACKAGES = ["gcc", "libc6-dev", "binutils", "e2fsprogs"];
const SUITE = "bookworm";
/** The tools, and the libraries that they truly need. */
const GUEST_PACKAGES = [
  ...["fio", "libaio1", "libnuma1", "zlib1g", "libc6"],
  ...["e2fsprogs", "libext2fs2", "libcom-err2", "libblkid1", "libuuid1"],
  ...["socat", "libssl3", "libwrap0", "libnsl2", "libtirpc3", "libgssapi-krb5-2", "libkrb5-3"],
  ...["libk5crypto3", "libkrb5support0", "libkeyutils1"],
  ...["ethtool", "libmnl0"],
];
/** Where a file of the packages goes in the image, where /usr/bin and /usr/sbin lead to /bin and /sbin. */
const TOOLS = [
  ["usr/bin/fio", "bin/fio"],
  ["sbin/mke2fs", "sbin/mkfs.ext4"],
  ["usr/bin/socat", "bin/socat"],
  ["sbin/ethtool", "sbin/ethtool"],
] as const;
const CONFIG = "etc/mke2fs.conf"; // without it mkfs.ext4 makes no journal
const LIBRARIES = "lib/x86_64-linux-gnu";
const LINKER = "lib64/ld-linux-x86-64.so.2";
const IMAGE_SIZE = "40M";
const COMPILE = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-static", "-s"];
/** Raise it when the way of building changes and the files do not. */
const VERSION = "1";

/** The path of the image, which is built first where the cache has none. */
export async function ensureToolsImage(say: (text: string) => void = () => {}): Promise<string> {
  const progress = { stage: (name: string) => say(`default guest: ${name}`), fraction() {} };
  const root = await ensureRootImage({ progress });
  const sources = await Promise.all(
    (await sourceNames()).map((name) => Deno.readTextFile(PROGRAMS + name)),
  );
  const recipe = await contentKey(VERSION, root.key, ...GUEST_PACKAGES, ...sources);
  const cache = new ArtifactCache(cacheDirectory(), "tools.ext2");
  const found = await cache.find(recipe);
  if (found !== undefined) return found.path;
  using _lock = await cache.lock((owner) => say(`tools image: process ${owner} is building`));
  const other = await cache.find(recipe);
  if (other !== undefined) return other.path;
  await using scratch = await cache.scratch();
  using log = await BuildLog.open(cache.logPath);
  const announce = (names: string): void => say(`tools image: installing ${names}`);
  await ensureDebianPackages(HOST_PACKAGES, { log, announce });
  say("tools image: downloading and packing");
  const build = new ToolsBuild(scratch.path, log);
  await build.startFrom(root.path);
  const facts = await build.addPackages();
  await build.addPrograms();
  const file = await build.pack();
  return (await cache.publish({ recipe, key: recipe, file, facts })).path;
}

async function sourceNames(): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(PROGRAMS)) {
    if (/\.[ch]$/.test(name)) names.push(name);
  }
  return names.sort();
}

/** The steps of one build, in a directory of its own. */
class ToolsBuild {
  readonly #directory: string;
  readonly #log: BuildLog;

  constructor(directory: string, log: BuildLog) {
    this.#directory = directory;
    this.#log = log;
  }

  get #root(): string {
    return `${this.#directory}/root`;
  }

  get #packages(): string {
    return `${this.#directory}/packages`;
  }

  async startFrom(image: string): Promise<void> {
    await Deno.mkdir(this.#root);
    await this.#run(["debugfs", "-R", `rdump / ${this.#root}`, image]);
    await Deno.remove(`${this.#root}/lost+found`, { recursive: true });
  }

  /** The tools and their libraries; returns their versions. */
  async addPackages(): Promise<Record<string, string>> {
    const directory = `${this.#directory}/apt`;
    await Deno.mkdir(directory);
    const archive = await DebianArchive.open(SUITE, { directory, log: this.#log });
    const packages = await archive.look(GUEST_PACKAGES);
    await archive.unpack(packages, this.#packages);
    for (const folder of ["lib", "lib64", LIBRARIES]) await Deno.mkdir(`${this.#root}/${folder}`);
    await Deno.copyFile(`${this.#packages}/${CONFIG}`, `${this.#root}/${CONFIG}`);
    await Deno.copyFile(`${this.#packages}/${LINKER}`, `${this.#root}/${LINKER}`);
    for (const [from, to] of TOOLS) {
      await Deno.copyFile(`${this.#packages}/${from}`, `${this.#root}/${to}`);
      await this.#addLibraries(`${this.#packages}/${from}`);
    }
    return Object.fromEntries(packages.map(({ name, version }) => [name, version]));
  }

  /** What `program` is linked with, and what that is linked with. */
  async #addLibraries(program: string): Promise<void> {
    const missing: string[] = [];
    const present: string[] = [];
    const queue = await neededLibraries(program);
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const path = await this.#library(name);
      if (path === undefined) missing.push(name);
      else if (!present.includes(path)) {
        present.push(path);
        queue.push(...await neededLibraries(path));
        await Deno.copyFile(path, `${this.#root}/${LIBRARIES}/${name}`);
      }
    }
    for (const soname of missing) {
      const { code, versions } = await missingLibrary(program, soname, missing, present);
      await this.#compileMissing(soname, code, versions);
    }
  }

  async #library(name: string): Promise<string | undefined> {
    for (const folder of [LIBRARIES, `usr/${LIBRARIES}`]) {
      const path = `${this.#packages}/${folder}/${name}`;
      try {
        return await Deno.realPath(path);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    return undefined;
  }

  async #compileMissing(soname: string, code: string, versions: string): Promise<void> {
    const base = `${this.#directory}/${soname}`;
    await Deno.writeTextFile(`${base}.c`, code);
    await Deno.writeTextFile(`${base}.map`, versions);
    const flags = [
      ...["-shared", "-fPIC", "-nostdlib", "-s", `-Wl,-soname,${soname}`],
      ...(versions === "" ? [] : [`-Wl,--version-script=${base}.map`]),
    ];
    await this.#run(["gcc", ...flags, "-o", `${this.#root}/${LIBRARIES}/${soname}`, `${base}.c`]);
  }

  async addPrograms(): Promise<void> {
    const files = (await sourceNames()).filter((name) => name.endsWith(".c"));
    const paths = files.map((name) => PROGRAMS + name);
    await this.#run([...COMPILE, "-o", `${this.#root}/bin/work`, ...paths]);
  }

  async pack(): Promise<string> {
    const file = `${this.#directory}/tools.ext2`;
    const layout = ["-t", "ext2", "-b", "4096", "-m", "0", "-N", "1024", "-E", "root_owner=0:0"];
    await this.#run(["mke2fs", "-q", "-F", ...layout, "-d", this.#root, file, IMAGE_SIZE]);
    return file;
  }

  #run(command: readonly string[]): Promise<void> {
    const environment = { ...BUILD_ENVIRONMENT };
    return this.#log.run(command, { directory: this.#directory, environment });
  }
}

if (import.meta.main) console.log(await ensureToolsImage((text) => console.error(text)));
