/** What can go wrong with compressed data. Thrown by everything `decompress.ts` calls. */

/** Stable words for the reasons. */
export type DecompressErrorCode =
  /** The bytes are damaged or of another kind. */
  | "COMPRESSED_CORRUPT"
  /** The bytes end before the compressed stream does. */
  | "COMPRESSED_TRUNCATED"
  /** What comes out, or the room needed to unpack it, is beyond the caller's bound. */
  | "COMPRESSED_TOO_BIG"
  /** A kind of compression nobody here can undo. */
  | "COMPRESSION_UNSUPPORTED"
  /** The system's library for it is not installed. */
  | "LIBRARY_MISSING";

/** Compressed data could not be unpacked. `hint`, where there is one, says what to do about it. */
export class DecompressError extends Error {
  override readonly name = "DecompressError";
  constructor(
    readonly code: DecompressErrorCode,
    message: string,
    readonly hint?: string,
  ) {
    super(message);
  }

  /** Damaged `kind` data. */
  static corrupt(kind: string, why?: string): DecompressError {
    const detail = why === undefined ? "" : `: ${why}`;
    return new DecompressError(
      "COMPRESSED_CORRUPT",
      `Cannot unpack ${kind} data: it is damaged${detail}`,
      "copy or download the file again",
    );
  }

  /** `kind` data that ends too early. */
  static truncated(kind: string): DecompressError {
    return new DecompressError(
      "COMPRESSED_TRUNCATED",
      `Cannot unpack ${kind} data: it ends too early`,
      "copy or download the file again",
    );
  }

  /** `kind` data that unpacks to more than `maxBytes`. */
  static tooBig(kind: string, maxBytes: number): DecompressError {
    return new DecompressError(
      "COMPRESSED_TOO_BIG",
      `Cannot unpack ${kind} data: more than ${maxBytes} bytes come out`,
    );
  }
}
