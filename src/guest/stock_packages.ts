/** Which packages of Debian hold a cloud kernel. Pure; called by stock_kernel_build.ts. */
import type { DebianPackage } from "./debian_archive.ts";
import { GuestBuildError } from "./errors.ts";

/** The meta package that depends on the newest kernel for virtual machines. */
export const META_PACKAGE = "linux-image-cloud-amd64";
/** What it leads to: one package, or since Linux 7 one for the image and one for the modules. */
export const KERNEL_PACKAGE = /^linux-(?:image|binary|modules)-(\d\S*-cloud-amd64)$/;

/** The packages of one kernel. */
export interface KernelPackages {
  /** As in `uname -r`. */
  readonly release: string;
  readonly packages: readonly DebianPackage[];
}

/**
 * The packages that hold a kernel, out of a meta package's closure.
 *
 * @throws {GuestBuildError} when there is none, or they are not all of one release
 */
export function kernelPackages(closure: readonly DebianPackage[], suite: string): KernelPackages {
  const packages = closure.filter(({ name }) => KERNEL_PACKAGE.test(name));
  const releases = new Set(packages.map(({ name }) => KERNEL_PACKAGE.exec(name)?.[1]));
  const [release] = releases;
  if (release !== undefined && releases.size === 1) return { release, packages };
  const names = packages.map(({ name }) => name).join(" ");
  throw new GuestBuildError(
    `Cannot tell which kernel "${META_PACKAGE}" of Debian ${suite} means: it leads to "${names}"`,
    "GUEST_PACKAGES",
    { hint: "pass a kernel of your own with --kernel PATH" },
  );
}
