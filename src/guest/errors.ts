/**
 * What goes wrong when the default guest is built: one class with a stable code.
 * Thrown by everything in src/guest; the command line prints message, code and hint.
 */
/** The stable codes a {@linkcode GuestBuildError} may carry. */
export type GuestBuildCode =
  | "GUEST_CACHE"
  | "GUEST_HOST"
  | "GUEST_PACKAGES"
  | "GUEST_COMMAND"
  | "GUEST_CONFIG";

/** Details of a {@linkcode GuestBuildError}; all of them may be left out. */
export interface GuestBuildDetails {
  /** What the user can do about it: a command to run, or a flag to pass. */
  readonly hint?: string;
  /** The last lines of the build's log. */
  readonly logTail?: string;
  /** The error underneath. */
  readonly cause?: unknown;
}

/** The default guest's kernel or root image cannot be built. */
export class GuestBuildError extends Error {
  override readonly name = "GuestBuildError";
  /** Stable, for programs. */
  readonly code: GuestBuildCode;
  /** What the user can do about it. */
  readonly hint?: string;
  /** The last lines of the build's log, if a command failed. */
  readonly logTail?: string;

  constructor(message: string, code: GuestBuildCode, details: GuestBuildDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    if (details.hint !== undefined) this.hint = details.hint;
    if (details.logTail !== undefined) this.logTail = details.logTail;
  }
}

/** There is no default guest of that name. */
export class GuestChoiceError extends Error {
  override readonly name = "GuestChoiceError";
  /** Stable, for programs. */
  readonly code = "GUEST_INVALID";

  /** `field`: the variable or flag that has the name. `hint`: what the user can do about it. */
  constructor(message: string, readonly field: string, readonly hint: string) {
    super(message);
  }
}
