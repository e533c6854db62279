/** Whole directories, from the host into the guest and back. */
import type { GuestFs } from "./guest_fs.ts";
import { hostPath } from "./host_path.ts";

/** Permission bits of a mode. */
const PERMISSIONS = 0o7777;

/** A call of the guest's takes longer to wait for than to serve, and others want some of them as well (`agent.ts`). */
const FILES_AT_ONCE = 4;

/** A file to copy. */
interface Copy {
  readonly from: string;
  readonly to: string;
  /** Permission bits. */
  readonly mode: number;
}

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
  const from = hostPath("host", host);
  signal?.throwIfAborted();
  if (!(await Deno.stat(from)).isDirectory) await fs.mkdir(parentOf(guest), { recursive: true });
  await fewAtOnce(hostFiles(fs, from, guest, signal), async ({ from, to, mode }) => {
    using file = await Deno.open(from);
    await fs.writeFile(to, file.readable, { mode, ...optional(signal) });
  });
}

/** The files below `from`, after their directories in the guest have been made. */
async function* hostFiles(
  fs: Files,
  from: string,
  to: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Copy> {
  signal?.throwIfAborted();
  const { isDirectory, isFile, mode } = await Deno.stat(from);
  const permissions = (mode ?? 0o644) & PERMISSIONS;
  if (isFile) yield { from, to, mode: permissions };
  if (!isDirectory) return;
  await fs.mkdir(to, { recursive: true, mode: permissions });
  for await (const { name } of Deno.readDir(from)) {
    yield* hostFiles(fs, `${from}/${name}`, `${to}/${name}`, signal);
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
  const to = hostPath("host", host);
  signal?.throwIfAborted();
  await Deno.mkdir(parentOf(to), { recursive: true });
  await fewAtOnce(guestFiles(fs, guest, to, signal), async ({ from, to, mode }) => {
    await Deno.writeFile(to, fs.readStream(from, optional(signal)), { mode: mode & 0o777 });
  });
}

/** The files below `from` in the guest, after their directories here have been made. */
async function* guestFiles(
  fs: Files,
  from: string,
  to: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Copy> {
  signal?.throwIfAborted();
  const { isDirectory, isFile, mode } = await fs.lstat(from);
  if (isFile) yield { from, to, mode: (mode ?? 0o644) & PERMISSIONS };
  if (!isDirectory) return;
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of fs.readDir(from)) {
    if (isPlain(name)) yield* guestFiles(fs, `${from}/${name}`, `${to}/${name}`, signal);
  }
}

/** Does `work` for each item, for a few at once. Rejects with what failed first; nothing is begun after that. */
async function fewAtOnce<T>(
  items: AsyncGenerator<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  const one = async () => {
    try {
      while (failure === undefined) {
        const next = await items.next(); // calls at the same time are answered one after the other
        if (next.done === true) return;
        await work(next.value);
      }
    } catch (error) {
      failure ??= { error };
    }
  };
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, one));
  if (failure === undefined) return;
  await items.return(undefined);
  throw failure.error;
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
