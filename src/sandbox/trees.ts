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

/** One of the two ways: what is looked at is on one side, what is made on the other. */
interface Road {
  look(path: string): Promise<Deno.FileInfo>;
  list(path: string): AsyncIterable<{ readonly name: string }>;
  /** Also those above it; it may exist. */
  mkdir(path: string, mode?: { readonly mode: number }): Promise<void>;
  copy(file: Copy): Promise<void>;
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
  const road: Road = {
    look: (path) => Deno.stat(path),
    list: (path) => Deno.readDir(path),
    mkdir: (path, mode) => fs.mkdir(path, { recursive: true, ...mode }),
    copy: async ({ from, to, mode }) => {
      using file = await Deno.open(from);
      await fs.writeFile(to, file.readable, { mode, ...optional(signal) });
    },
  };
  await copyTree(road, hostPath("host", host), guest, signal);
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
  const road: Road = {
    look: (path) => fs.lstat(path),
    list: (path) => fs.readDir(path),
    mkdir: (path) => Deno.mkdir(path, { recursive: true }),
    copy: ({ from, to, mode }) =>
      Deno.writeFile(to, fs.readStream(from, optional(signal)), { mode: mode & 0o777 }),
  };
  await copyTree(road, guest, hostPath("host", host), signal);
}

async function copyTree(
  road: Road,
  from: string,
  to: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  if (!(await road.look(from)).isDirectory) await road.mkdir(parentOf(to));
  await fewAtOnce(filesBelow(road, from, to, signal), road.copy);
}

/** The files below `from`, each after its directory has been made. */
async function* filesBelow(
  road: Road,
  from: string,
  to: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Copy> {
  signal?.throwIfAborted();
  const { isDirectory, isFile, mode: bits } = await road.look(from);
  const mode = (bits ?? 0o644) & PERMISSIONS;
  if (isFile) yield { from, to, mode };
  if (!isDirectory) return;
  await road.mkdir(to, { mode });
  for await (const { name } of road.list(from)) {
    if (isPlain(name)) yield* filesBelow(road, `${from}/${name}`, `${to}/${name}`, signal);
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
