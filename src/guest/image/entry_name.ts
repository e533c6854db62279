/** Names in an archive are its maker's: checked once, here, before anything else sees them. */
import { ImageError } from "./errors.ts";

/** PATH_MAX and NAME_MAX of Linux, in bytes. */
const PATH_BYTES = 4096;
const NAME_BYTES = 255;

const encoder = new TextEncoder();

/**
 * The parts of a name in an archive. A leading slash and "." mean nothing there; ".." is refused, for it says no good.
 * So are line breaks: the image is made by a program that reads lines.
 *
 * @throws {ImageError} ROOTFS_ENTRY
 */
export function entryParts(name: string): string[] {
  checkText(name);
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw refused(name, 'it has ".." in it');
  if (parts.some((part) => encoder.encode(part).length > NAME_BYTES)) {
    throw refused(name, `a part of it is longer than ${NAME_BYTES} bytes`);
  }
  return parts;
}

/** The target of a symbolic link: any text, for it is followed in the guest. Throws ImageError. */
export function linkTarget(name: string, target: string): string {
  checkText(target);
  if (target === "") throw refused(name, "it is a symbolic link to nothing");
  return target;
}

function checkText(text: string): void {
  if (/[\0\n\r]/.test(text)) throw refused(text, "it has a line break or a NUL in it");
  if (encoder.encode(text).length > PATH_BYTES) {
    throw refused(`${text.slice(0, 60)}…`, `it is longer than ${PATH_BYTES} bytes`);
  }
}

function refused(name: string, why: string): ImageError {
  return new ImageError(
    `Cannot unpack ${JSON.stringify(name)}: ${why}`,
    "ROOTFS_ENTRY",
    { hint: "make the archive without this entry" },
  );
}
