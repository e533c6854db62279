/**
 * A guest with a root of the user's: the default guest's kernel, or one of the user's, and an image that is made of a
 * directory, an archive or an OCI image. Imported when there is such a root.
 */
import { type GuestFiles, STOCK_SUITE, type UsersRoot } from "./default_guest.ts";
import type { GuestKind } from "./guest_choice.ts";
import { ensureRoot, type RootRequest } from "./image/ensure.ts";
import type { ImageConfig } from "./image/config.ts";
import { type BuildOptions, ensureKernel, ensureStockKernel } from "./mod.ts";

/** A root of the user's, and what else becomes of it. */
export interface RootedRequest extends RootRequest {
  /** A disk image stays as it is. All other roots do anyway. */
  readonly overlay: boolean;
  /** The default guest's when left out. */
  readonly kernel?: { readonly kernel: string; readonly initrd?: string };
}

/** A guest, and how its commands are run. */
export interface RootedGuest {
  readonly files: GuestFiles & { readonly rootfs: UsersRoot };
  readonly image: ImageConfig;
  /** Whether the root's image was made now. */
  readonly built: boolean;
}

/**
 * The files, made if need be.
 *
 * @throws {ImageError} when the source cannot become a root
 * @throws {GuestBuildError} when something cannot be built
 */
export async function rootedGuest(
  request: RootedRequest,
  kind: GuestKind,
  options: BuildOptions,
): Promise<RootedGuest> {
  const { path, hasAgent, built, config } = await ensureRoot(request, options);
  const kernel = request.kernel ?? await kernelOf(kind, options);
  const rootfs = { hasAgent, overlay: hasAgent || request.overlay };
  return { files: { ...kernel, root: path, rootfs }, image: config, built };
}

async function kernelOf(
  kind: GuestKind,
  options: BuildOptions,
): Promise<{ readonly kernel: string; readonly initrd?: string }> {
  if (kind === "built") return { kernel: (await ensureKernel(options)).path };
  const { kernel, initrd } = await ensureStockKernel(STOCK_SUITE, options);
  return { kernel, initrd };
}
