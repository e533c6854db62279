/** What goes wrong when an initramfs is put together: one class with a stable code. */
/** The stable codes an {@linkcode InitramfsError} may carry. */
export type InitramfsCode =
  | "INITRD_FILE"
  | "INITRD_MODULE_FOLDER"
  | "INITRD_MODULE_FORMAT"
  | "INITRD_MODULE_UNKNOWN"
  | "INITRD_MODULE_MISSING"
  | "INITRD_MODULE_CYCLE";

/** Details of an {@linkcode InitramfsError}; all of them may be left out. */
export interface InitramfsDetails {
  /** What the user can do about it. */
  readonly hint?: string;
  /** The error underneath. */
  readonly cause?: unknown;
}

/** An initramfs cannot be put together from what was given. */
export class InitramfsError extends Error {
  override readonly name = "InitramfsError";
  /** Stable, for programs. */
  readonly code: InitramfsCode;
  /** What the user can do about it. */
  readonly hint?: string;

  constructor(message: string, code: InitramfsCode, details: InitramfsDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    if (details.hint !== undefined) this.hint = details.hint;
  }
}

/**
 * Reads a file that the user named.
 *
 * @throws {InitramfsError} naming `what` and the path
 */
export async function readNamed(what: string, path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(path);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound
      ? "it does not exist"
      : cause instanceof Error
      ? cause.message
      : String(cause);
    const details = { hint: "check the path", cause };
    throw new InitramfsError(`Cannot read ${what} "${path}": ${reason}`, "INITRD_FILE", details);
  }
}
