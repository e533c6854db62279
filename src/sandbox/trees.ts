/** Whole directories, from the host into the guest and back. */
import type { GuestFs } from "./guest_fs.ts";
import { hostPath } from "./host_path.ts";

/** Permission bits of a mode. */
const PERMISSIONS = 0o7777;

/** What is needed of a guest's files. */
type Files = Pick<GuestFs, "lstat" | "mkdir" | "readDir" | "readStream" | "writeFile">;

/**
 * Copies a file or directory of the host to `guest`, which is made; directories above it, too. Permission bits go along,
 * owners do not. Symbolic links are followed. What is neither file nor directory is left out.
 */
export async function upload(
  fs: Files,
  host: string | URL,
  guest: string,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const from = hostPath("host", host);
  const { isDirectory, isFile, mode } = await Deno.stat(from);
  const permissions = (mode ?? 0o644) & PERMISSIONS;
  if (isFile) {
    await fs.mkdir(parentOf(guest), { recursive: true });
    using file = await Deno.open(from);
    await fs.writeFile(guest, file.readable, { mode: permissions, ...optional(signal) });
  } else if (isDirectory) {
    await fs.mkdir(guest, { recursive: true, mode: permissions });
    for await (const { name } of Deno.readDir(from)) {
      await upload(fs, `${from}/${name}`, `${guest}/${name}`, signal);
    }
  }
}

/**
 * Copies a file or directory of the guest to `host`, which is made; directories above it, too. Permission bits go along,
 * owners do not. Symbolic links are left out: the guest could make one that leads anywhere on the host.
 */
export async function download(
  fs: Files,
  guest: string,
  host: string | URL,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const to = hostPath("host", host);
  const { isDirectory, isFile, mode } = await fs.lstat(guest);
  const permissions = (mode ?? 0o644) & PERMISSIONS;
  if (isFile) {
    await Deno.mkdir(parentOf(to), { recursive: true });
    await Deno.writeFile(to, fs.readStream(guest, optional(signal)), { mode: permissions & 0o777 });
  } else if (isDirectory) {
    await Deno.mkdir(to, { recursive: true });
    for await (const { name } of fs.readDir(guest)) {
      if (isPlain(name)) await download(fs, `${guest}/${name}`, `${to}/${name}`, signal);
    }
  }
}

function optional(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** The guest is not trusted: a name is one part of a path, or it could lead out of the directory. */
function isPlain(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\0]/.test(name);
}

function parentOf(path: string): string {
  const end = path.lastIndexOf("/");
  return end === -1 ? "." : end === 0 ? "/" : path.slice(0, end);
}
