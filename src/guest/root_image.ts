/**
 * Builds the default root image: Debian's static busybox, one link for each of its programs, and our init.
 * No root is needed; mod.ts imports this only when the cache has no image for the recipe.
 */
import { BUILD_ENVIRONMENT, BuildLog } from "./build_log.ts";
import { type Artifact, type ArtifactCache, contentKey } from "./cache.ts";
import { ensureDebianPackages } from "./debian_packages.ts";
import { dhcpScript } from "./dhcp_script.ts";
import { GuestBuildError } from "./errors.ts";
import type { BuildOptions } from "./mod.ts";
import {
  compileFreestanding,
  FREESTANDING_PACKAGES,
  type FreestandingSources,
} from "./freestanding.ts";
import type { RootRecipe } from "./recipe.ts";

const PACKAGES = [...FREESTANDING_PACKAGES, "e2fsprogs"];

const BUSYBOX_PACKAGE = "busybox-static";
const INSTALLED_BUSYBOX = "/bin/busybox";

/** Room for busybox (2 MB) and its links; the rest is for whoever mounts a copy of the image writable. */
const IMAGE_SIZE = "4M";

const DIRECTORIES = [
  "bin",
  "dev",
  "etc",
  "etc/udhcpc",
  "mnt",
  "proc",
  "root",
  "run",
  "sbin",
  "sys",
  "tmp",
  "usr",
];

/** Where Debian's busybox looks for it. */
const DHCP_SCRIPT = "etc/udhcpc/default.script";

const FILES: Readonly<Record<string, string>> = {
  "etc/group": "root:x:0:\nnogroup:x:65534:\n",
  "etc/hosts": "127.0.0.1 localhost\n",
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n",
  "etc/profile": "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n",
  [DHCP_SCRIPT]: dhcpScript("/bin/busybox"),
};

/** A fixed identity, so that equal contents give equal images. */
const IMAGE_UUID = "d1905150-0000-4000-8000-000000000001";

/** Type of the program header that names a dynamic linker (ELF specification, figure 2-2). */
const PT_INTERP = 3;

/**
 * Builds the root image and publishes it. Call it with the cache's lock held.
 *
 * @throws {GuestBuildError} when packages are missing or a command fails; the log stays at `cache.logPath`
 */
export async function buildRootImage(
  cache: ArtifactCache,
  recipe: RootRecipe,
  options: BuildOptions,
): Promise<Artifact> {
  const { progress, signal } = options;
  await using scratch = await cache.scratch();
  using log = await BuildLog.open(cache.logPath);
  const announce = (names: string): void => progress.stage("install packages", names);
  await ensureDebianPackages(PACKAGES, { log, announce, signal });
  progress.stage("root image");
  const build = new RootImageBuild(scratch.path, log, signal);
  const busybox = await build.busybox();
  await build.populate(busybox);
  await build.compile(recipe.init, "init");
  await build.compile(recipe.agent, "agent");
  const file = await build.makeImage();
  const version = await firstLine(busybox);
  const key = await contentKey(recipe.key, version);
  const artifact = await cache.publish({
    recipe: recipe.key,
    key,
    file,
    facts: { busybox: version },
  });
  progress.fraction(1);
  return artifact;
}

/** The steps of one build, in a directory of its own. */
class RootImageBuild {
  readonly #directory: string;
  readonly #log: BuildLog;
  readonly #signal: AbortSignal | undefined;

  constructor(directory: string, log: BuildLog, signal: AbortSignal | undefined) {
    this.#directory = directory;
    this.#log = log;
    this.#signal = signal;
  }

  get #root(): string {
    return `${this.#directory}/root`;
  }

  /** A static busybox: the installed one, or the one in Debian's package, which nobody needs to install. */
  async busybox(): Promise<string> {
    if (await isStatic(INSTALLED_BUSYBOX)) return INSTALLED_BUSYBOX;
    await Deno.mkdir(`${this.#directory}/package`);
    try {
      await this.#run(["apt-get", "-q", "download", BUSYBOX_PACKAGE], { inherit: true });
    } catch (cause) {
      this.#signal?.throwIfAborted();
      const message = `Cannot download the Debian package "${BUSYBOX_PACKAGE}"`;
      const hint = `sudo apt-get update && sudo apt-get install ${BUSYBOX_PACKAGE}`;
      throw new GuestBuildError(message, "GUEST_PACKAGES", {
        hint,
        logTail: this.#log.tail,
        cause,
      });
    }
    for await (const { name } of Deno.readDir(this.#directory)) {
      if (name.endsWith(".deb")) await this.#run(["dpkg-deb", "-x", name, "package"]);
    }
    for (
      const path of ["package/usr/bin/busybox", "package/bin/busybox"].map((name) =>
        `${this.#directory}/${name}`
      )
    ) {
      if (await isStatic(path)) return path;
    }
    throw new GuestBuildError(
      `Cannot find a static busybox in "${BUSYBOX_PACKAGE}"`,
      "GUEST_PACKAGES",
    );
  }

  /** Lays out the files. /usr/bin and /usr/sbin lead to /bin and /sbin. */
  async populate(busybox: string): Promise<void> {
    for (const name of ["", ...DIRECTORIES]) await Deno.mkdir(`${this.#root}/${name}`);
    for (const [name, text] of Object.entries(FILES)) {
      await Deno.writeTextFile(`${this.#root}/${name}`, text);
    }
    await Deno.chmod(`${this.#root}/${DHCP_SCRIPT}`, 0o755);
    await Deno.symlink("/run/resolv.conf", `${this.#root}/etc/resolv.conf`); // the root is read-only
    await Deno.copyFile(busybox, `${this.#root}/bin/busybox`);
    await Deno.chmod(`${this.#root}/bin/busybox`, 0o755);
    for (const applet of (await capture(busybox, ["--list"])).split("\n")) {
      if (/^[\w[.-]+$/.test(applet) && applet !== "busybox" && applet !== "init") {
        await Deno.symlink("busybox", `${this.#root}/bin/${applet}`);
      }
    }
    await Deno.symlink("../bin", `${this.#root}/usr/bin`);
    await Deno.symlink("../sbin", `${this.#root}/usr/sbin`);
  }

  /** Compiles a program of ours into /sbin. */
  async compile(sources: FreestandingSources, name: string): Promise<void> {
    await compileFreestanding(sources, {
      directory: this.#directory,
      output: `${this.#root}/sbin/${name}`,
      log: this.#log,
      signal: this.#signal,
    });
  }

  /** Packs the files, then gives them all to root at one point in time, whoever built them and when. */
  async makeImage(): Promise<string> {
    const image = `${this.#directory}/root.ext2`;
    const extended = `root_owner=0:0,hash_seed=${IMAGE_UUID}`;
    const layout = [
      "-t",
      "ext2",
      "-b",
      "4096",
      "-I",
      "128",
      "-m",
      "0",
      "-N",
      "512",
      "-U",
      IMAGE_UUID,
      "-E",
      extended,
    ];
    await this.#run(["mke2fs", "-q", "-F", ...layout, "-d", this.#root, image, IMAGE_SIZE]);
    const script = `${this.#directory}/owners`;
    const paths = await treePaths(this.#root);
    await Deno.writeTextFile(script, paths.flatMap(ownership).join("\n") + "\n");
    await this.#run(["debugfs", "-w", "-f", script, image]);
    return image;
  }

  #run(command: readonly string[], options: { inherit?: boolean } = {}): Promise<void> {
    // The tools of e2fsprogs take the time from this variable.
    const environment = { ...(options.inherit ? {} : BUILD_ENVIRONMENT), E2FSPROGS_FAKE_TIME: "1" };
    return this.#log.run(command, {
      directory: this.#directory,
      environment,
      signal: this.#signal,
      ...options,
    });
  }
}

/** All paths of a tree, relative to its root, sorted. */
async function treePaths(root: string, prefix = ""): Promise<string[]> {
  const paths = [prefix === "" ? "/" : prefix];
  for await (const { name, isDirectory } of Deno.readDir(root + prefix)) {
    const path = `${prefix}/${name}`;
    if (isDirectory) paths.push(...await treePaths(root, path));
    else paths.push(path);
  }
  return paths.sort();
}

function ownership(path: string): string[] {
  const ours = ["uid 0", "gid 0", "atime @1", "ctime @1", "mtime @1"];
  return ours.map((field) => `set_inode_field ${path} ${field}`);
}

/** Whether this is a 64-bit ELF program that needs no dynamic linker. */
async function isStatic(path: string): Promise<boolean> {
  const header = await readStart(path, 4096);
  if (header === undefined || header.byteLength < 64 || header.getUint32(0) !== 0x7f454c46) {
    return false;
  }
  const table = Number(header.getBigUint64(32, true));
  const [entrySize, entries] = [header.getUint16(54, true), header.getUint16(56, true)];
  if (table + entries * entrySize > header.byteLength) return false;
  for (let index = 0; index < entries; index++) {
    if (header.getUint32(table + index * entrySize, true) === PT_INTERP) return false;
  }
  return true;
}

async function readStart(path: string, length: number): Promise<DataView | undefined> {
  try {
    using file = await Deno.open(path);
    const bytes = new Uint8Array(length);
    return new DataView(bytes.buffer, 0, await file.read(bytes) ?? 0);
  } catch {
    return undefined;
  }
}

async function firstLine(busybox: string): Promise<string> {
  return (await capture(busybox, [])).split("\n")[0] ?? "";
}

async function capture(program: string, args: readonly string[]): Promise<string> {
  const command = new Deno.Command(program, {
    args: [...args],
    clearEnv: true,
    stderr: "null",
    stdin: "null",
  });
  return new TextDecoder().decode((await command.output()).stdout);
}
