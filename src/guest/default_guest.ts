/**
 * The guest that runs when no kernel is given. The rest of this folder is imported when that is known, so that a run
 * with a kernel of its own does not load it.
 */
import type { BuildOptions, DebianSuite, GuestFile } from "./mod.ts";
import type { GuestKind } from "./guest_choice.ts";

/** The suite whose cloud kernel is the stock guest's: the one our own kernel's source is from, too. */
const STOCK_SUITE: DebianSuite = "bookworm";

/** The kernel word that makes the default guest ask for the address of its first card before anything else. */
export const DHCP_WORD = "dinovisor.dhcp";

/** The kernel word that makes the default guest start its agent instead of a shell; the guest ends with it. */
export const AGENT_WORD = "dinovisor.agent";

/** The default guest's files. */
export interface GuestFiles {
  readonly kernel: string;
  /** Left out where the kernel mounts its root by itself. */
  readonly initrd?: string;
  readonly root: string;
}

/** The kernel words for its root, which is its first disk and is never written to. */
export const ROOT_WORDS = "root=/dev/vda ro";

/** Its first disk, as a block device's configuration. */
export function rootDisk({ root }: GuestFiles): {
  readonly kind: "block";
  readonly path: string;
  readonly readOnly: true;
  readonly direct: false;
  readonly id: "root";
} {
  return { kind: "block", path: root, readOnly: true, direct: false, id: "root" };
}

/** The default guest as the cache has it. */
export interface CachedGuest extends GuestFiles {
  /** What kernel it is, for people. */
  readonly name: string;
}

/** The default guest, and how its parts came about. */
export interface EnsuredGuest {
  readonly files: GuestFiles;
  readonly parts: { readonly kernel: GuestFile; readonly root: GuestFile };
}

/** The files if all are in the cache; takes a few milliseconds. */
export async function cachedGuest(kind: GuestKind): Promise<CachedGuest | undefined> {
  const { findKernel, findRootImage, findStockKernel } = await import("./mod.ts");
  const root = await findRootImage();
  if (root === undefined) return undefined;
  if (kind === "stock") {
    const stock = await findStockKernel(STOCK_SUITE);
    if (stock === undefined) return undefined;
    return { name: `Debian ${stock.version}`, kernel: stock.kernel, initrd: stock.initrd, root };
  }
  const kernel = await findKernel();
  return kernel === undefined ? undefined : { name: "our own build", kernel, root };
}

/** The files, downloaded or built if need be, once on a machine. Rejects with the signal's reason. */
export async function ensuredGuest(kind: GuestKind, options: BuildOptions): Promise<EnsuredGuest> {
  const { ensureKernel, ensureRootImage, ensureStockKernel } = await import("./mod.ts");
  if (kind === "stock") {
    const { kernel: path, initrd, key, built, elapsedMs, facts } = await ensureStockKernel(
      STOCK_SUITE,
      options,
    );
    const root = await ensureRootImage(options);
    const kernel = { path, key, built, elapsedMs, facts };
    return { files: { kernel: path, initrd, root: root.path }, parts: { kernel, root } };
  }
  const kernel = await ensureKernel(options);
  const root = await ensureRootImage(options);
  return { files: { kernel: kernel.path, root: root.path }, parts: { kernel, root } };
}

/** What a first run without a kernel is about to do, for people. */
export function firstRunNotice(kind: GuestKind): string {
  return kind === "stock"
    ? "not here yet; this downloads Debian's cloud kernel, once, and takes about a minute"
    : "not built yet; this happens once and takes some minutes";
}
