/**
 * The lab's host image: Debian's cloud kernel and the programs that integration tests call, made once without a
 * network inside and kept in the user's cache. Called by `scripts/lab.ts`.
 */
import { ArtifactCache, cacheDirectory, contentKey } from "../../src/guest/cache.ts";
import { BuildLog } from "../../src/guest/build_log.ts";
import { ensureDebianPackages } from "../../src/guest/debian_packages.ts";
import { GuestBuildError } from "../../src/guest/errors.ts";

/** What the image is built with. */
const BUILD_PACKAGES = ["mmdebstrap", "e2fsprogs", "debian-archive-keyring"];
/** What it runs on. */
const QEMU_PACKAGE = "qemu-system-x86";
/** What else is needed by someone who is not root: other users' ids, or the appearance of being root. */
const UNPRIVILEGED_PACKAGES = ["uidmap", "fakeroot"];

const SUITE = "bookworm";
/** kvm-amd, nvme and ext4 are in this kernel or among its modules; 9p is not. */
const KERNEL_PACKAGE = "linux-image-cloud-amd64";
const PACKAGES = [
  KERNEL_PACKAGE,
  "kmod",
  // The tiny guest is compiled by the tests, unless the cache brings it.
  ...["gcc", "libc6-dev", "binutils"],
  ...["device-tree-compiler", "acpica-tools", "cpio", "xz-utils", "zstd", "e2fsprogs"],
  // For the shell, for the loopback interface, and for networks of tests.
  ...["iproute2", "procps", "strace"],
  ...["passt", "socat"],
];
/** Never looked at in the lab; and the hook that builds an initrd, which takes time and is not booted. */
const LEFT_OUT = [
  ...["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"],
  "/etc/kernel/postinst.d/initramfs-tools",
];

/** Sparse: tests' files and guests' disks come on top of the half gigabyte that is there. */
const IMAGE_SIZE = "16G";
/** Nobody mounts the image twice, and a crash of the lab loses nothing: no journal. */
const FILE_SYSTEM = ["-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "lazy_itable_init=1"];

/** Raise it when the way of building changes and the lists above do not. */
const RECIPE_VERSION = "1";

/** Who watches the build. */
export interface ImageOptions {
  readonly stage: (text: string) => void;
  readonly signal: AbortSignal;
  /** Build even if the cache has it. */
  readonly rebuild: boolean;
}

/** A host to boot. */
export interface HostImage {
  readonly image: string;
  readonly kernel: string;
}

/** Everything the lab keeps. */
export function labDirectory(): string {
  return `${cacheDirectory()}/lab`;
}

/**
 * Finds the host image, or builds it: a minute, and 150 MB from Debian's mirror.
 *
 * @throws {GuestBuildError} when a package is missing and we may not install it, or the mirror cannot be reached
 */
export async function ensureHostImage(options: ImageOptions): Promise<HostImage> {
  const cache = new ArtifactCache(labDirectory(), "host");
  const recipe = await contentKey(RECIPE_VERSION, SUITE, IMAGE_SIZE, ...PACKAGES, "", ...LEFT_OUT);
  const found = options.rebuild ? undefined : await cache.find(recipe);
  if (found !== undefined) return hostImage(found.path);
  let waited = false;
  using _lock = await cache.lock((owner) => {
    waited = true;
    options.stage(`waiting for process ${owner}, which builds the host image`);
  }, options.signal);
  const other = waited ? await cache.find(recipe) : undefined;
  if (other !== undefined) return hostImage(other.path);
  using log = await BuildLog.open(cache.logPath);
  await ensurePackages([...BUILD_PACKAGES, ...unprivileged()], log, options);
  await using scratch = await cache.scratch();
  const file = await build(scratch.path, log, options);
  const artifact = await cache.publish({ recipe, key: recipe, file, facts: { suite: SUITE } });
  return hostImage(artifact.path);
}

/** QEMU, installed where it is missing. */
export async function ensureQemu(options: ImageOptions): Promise<void> {
  if (await programExists("qemu-system-x86_64")) return;
  await Deno.mkdir(labDirectory(), { recursive: true });
  using log = await BuildLog.open(`${labDirectory()}/qemu.log`);
  await ensurePackages([QEMU_PACKAGE], log, options);
}

function hostImage(directory: string): HostImage {
  return { image: `${directory}/root.ext4`, kernel: `${directory}/vmlinuz` };
}

function unprivileged(): string[] {
  return Deno.uid() === 0 ? [] : UNPRIVILEGED_PACKAGES;
}

async function ensurePackages(
  packages: readonly string[],
  log: BuildLog,
  { stage, signal }: ImageOptions,
): Promise<void> {
  const announce = (names: string): void => stage(`installing Debian packages: ${names}`);
  await ensureDebianPackages(packages, { log, announce, signal, purpose: "build the lab" });
}

/** The folder with image and kernel. */
async function build(scratch: string, log: BuildLog, options: ImageOptions): Promise<string> {
  const { stage, signal } = options;
  // Whoever is not root may not have mke2fs on the path.
  const path = `${Deno.env.get("PATH") ?? ""}:/usr/sbin:/sbin`;
  const environment = { LC_ALL: "C", PATH: path };
  const run = (command: readonly string[]) =>
    log.run(command, { inherit: true, environment, signal });
  const [archive, root, result] = [`${scratch}/root.tar`, `${scratch}/root`, `${scratch}/host`];
  for (const directory of [root, result]) await Deno.mkdir(directory);
  stage(`host image: Debian ${SUITE} and its cloud kernel, about a minute`);
  await run([
    "mmdebstrap",
    "--variant=minbase",
    `--include=${PACKAGES.join(",")}`,
    ...LEFT_OUT.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...[SUITE, archive],
  ]);
  stage("host image: file system");
  const { image, kernel } = hostImage(result);
  const owned = Deno.uid() === 0 ? [] : ["fakeroot", "--"];
  const steps = `tar -C "$1" -xf "$2" && mke2fs -q -F ${
    FILE_SYSTEM.map((word) => `'${word}'`).join(" ")
  } -d "$1" "$3" ${IMAGE_SIZE}`;
  await run([...owned, "sh", "-c", steps, "sh", root, archive, image]);
  await Deno.copyFile(await kernelOf(root), kernel);
  return result;
}

async function kernelOf(root: string): Promise<string> {
  for await (const { name } of Deno.readDir(`${root}/boot`)) {
    if (name.startsWith("vmlinuz-")) return `${root}/boot/${name}`;
  }
  throw new GuestBuildError(`Cannot find a kernel in "${KERNEL_PACKAGE}"`, "GUEST_PACKAGES");
}

async function programExists(name: string): Promise<boolean> {
  try {
    const options: Deno.CommandOptions = { args: ["--version"], stdout: "null", stderr: "null" };
    return (await new Deno.Command(name, options).output()).success;
  } catch {
    return false;
  }
}
