/** What goes wrong with a root file system of the user's: one class with a stable code. */
/** The stable codes an {@linkcode ImageError} may carry. */
export type ImageCode =
  | "ROOTFS_NOT_FOUND"
  | "ROOTFS_ACCESS"
  | "ROOTFS_KIND"
  | "ROOTFS_ENTRY"
  | "ROOTFS_DAMAGED"
  | "ROOTFS_TOO_BIG"
  | "ROOTFS_MOUNT"
  | "ROOTFS_REF";

/** A directory, an archive or an image cannot become a root. */
export class ImageError extends Error {
  override readonly name = "ImageError";
  /** Stable, for programs. */
  readonly code: ImageCode;
  /** What the user can do about it. */
  readonly hint?: string;

  constructor(
    message: string,
    code: ImageCode,
    { hint, cause }: { readonly hint?: string; readonly cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    if (hint !== undefined) this.hint = hint;
  }
}
