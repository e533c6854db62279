/**
 * The guest that runs when no kernel is given. `src/guest` is imported only here and only then, so that a run
 * with a kernel of its own does not load it.
 */
import type { BuildProgress } from "../guest/mod.ts";

/** The default guest's files. */
export interface GuestFiles {
  readonly kernel: string;
  readonly root: string;
}

/** The files if both are in the cache; takes a few milliseconds. */
export async function cachedGuest(): Promise<GuestFiles | undefined> {
  const { findGuest } = await import("../guest/mod.ts");
  return findGuest();
}

/** The files, built if need be: minutes, once on a machine. Rejects with the signal's reason. */
export async function builtGuest(
  progress: BuildProgress,
  signal: AbortSignal,
): Promise<GuestFiles> {
  const { ensureKernel, ensureRootImage } = await import("../guest/mod.ts");
  const kernel = await ensureKernel({ progress, signal });
  const root = await ensureRootImage({ progress, signal });
  return { kernel: kernel.path, root: root.path };
}

/** The kernel word that makes the default guest run `command`. */
export async function commandWord(command: readonly string[]): Promise<string> {
  const { execWord } = await import("../guest/mod.ts");
  return execWord(shellLine(command));
}

/** `command` as one line for a POSIX shell that runs exactly these words. */
export function shellLine(command: readonly string[]): string {
  // The first word is always quoted: bare, it could be a keyword (`if`, `!`) or an assignment.
  return command.map((word, index) => index === 0 ? quoted(word) : quotedIfNeeded(word)).join(" ");
}

function quotedIfNeeded(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : quoted(word);
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
