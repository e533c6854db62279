/**
 * The guest that runs when no kernel is given. The rest of this folder is imported when that is known, so that a run
 * with a kernel of its own does not load it.
 */
import type { BuildOptions, DebianSuite, GuestFile } from "./mod.ts";
import type { GuestKind } from "./guest_choice.ts";

/** The suite whose cloud kernel is the stock guest's: the one our own kernel's source is from, too. */
export const STOCK_SUITE: DebianSuite = "bookworm";

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
  /** Left out: the root is the default one, which is never written to. */
  readonly rootfs?: UsersRoot;
}

/** What a root of the user's is. */
export interface UsersRoot {
  /** Whether our init and agent are in it. */
  readonly hasAgent: boolean;
  /** What is written is gone with the machine. */
  readonly overlay: boolean;
}

/** Whether the guest's first program is ours and starts an agent when it is told to. */
export function startsAgent({ rootfs }: GuestFiles): boolean {
  return rootfs === undefined || rootfs.hasAgent;
}

/** The kernel words for a guest's root, its first disk. */
export function rootWords({ rootfs }: GuestFiles): string {
  if (rootfs === undefined) return "root=/dev/vda ro";
  // What mke2fs left undone of it is left: the guest would write it all, and then throw it away.
  return rootfs.hasAgent
    ? "root=/dev/vda rw rootfstype=ext4 rootflags=noinit_itable init=/.dinovisor/init"
    : "root=/dev/vda rw";
}

/** The kernel word for the machine's name, where it is one that Linux takes: letters, digits, dots and dashes, 64 at most. */
export function hostnameWords(name: string | undefined): string[] {
  if (name === undefined || !/^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$/.test(name)) return [];
  return [`dinovisor.hostname=${name}`];
}

/** Its first disk, as a block device's configuration. */
export function rootDisk({ root, rootfs }: GuestFiles): {
  readonly kind: "block";
  readonly path: string;
  readonly readOnly: boolean;
  readonly overlay?: true;
  readonly direct: false;
  readonly id: "root";
} {
  const disk = { kind: "block", path: root, direct: false, id: "root" } as const;
  if (rootfs === undefined) return { ...disk, readOnly: true };
  return { ...disk, readOnly: false, ...(rootfs.overlay ? { overlay: true } : {}) };
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
