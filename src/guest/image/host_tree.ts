/** A directory of the host that is to be a root: what is in it, and whether it has changed. */
import { contentKey } from "../cache.ts";
import { ImageError } from "./errors.ts";
import { OWN_FOLDER } from "./root_layout.ts";

/** The same owner here and in the guest. */
interface Owner {
  readonly host: number;
  readonly guest: number;
}

/** A file, directory or whatever it is. */
export interface HostFile {
  /** From the root: begins with a slash. */
  readonly path: string;
  /** Of its contents. */
  readonly bytes: number;
  readonly uid: Owner;
  readonly gid: Owner;
}

/** All of a directory. */
export interface HostTree {
  readonly path: string;
  readonly root: Deno.FileInfo;
  readonly files: readonly HostFile[];
  /** What is in the directory itself. */
  readonly topNames: ReadonlySet<string>;
  /** Changes when any name, size, mode, owner or time does: the contents are not read. */
  readonly fingerprint: string;
}

/**
 * Looks at all of a directory. Files of the user who runs this are root's in the guest: whoever unpacks a root file
 * system without being root owns all of it.
 *
 * @throws {ImageError} ROOTFS_ACCESS, ROOTFS_MOUNT for a file system that is mounted in it, ROOTFS_ENTRY
 */
export async function readHostTree(path: string): Promise<HostTree> {
  const root = looked(path, () => Deno.statSync(path));
  const base = path === "/" ? "" : path;
  const files: HostFile[] = [];
  const facts: string[] = [];
  const topNames = new Set<string>();
  const pending = [""];
  for (let prefix = pending.pop(); prefix !== undefined; prefix = pending.pop()) {
    for (const name of namesIn(base + prefix || "/")) {
      const own = `${prefix}/${name}`;
      const info = looked(base + own, () => Deno.lstatSync(base + own));
      checkFile(base + own, name, prefix, info, root);
      if (prefix === "") topNames.add(name);
      if (info.isSocket === true) continue; // it means nothing where its program does not run
      if (info.isDirectory) pending.push(own);
      files.push(fileOf(own, info));
      facts.push(factsOf(own, info));
    }
  }
  const fingerprint = await contentKey(factsOf("", root), ...facts);
  return { path, root, files, topNames, fingerprint };
}

function namesIn(directory: string): string[] {
  return looked(directory, () => [...Deno.readDirSync(directory)].map(({ name }) => name).sort());
}

function checkFile(
  path: string,
  name: string,
  prefix: string,
  info: Deno.FileInfo,
  root: Deno.FileInfo,
): void {
  // Of directories only: an overlay's files may say that they are on the file system below.
  if (info.isDirectory && info.dev !== root.dev) {
    throw new ImageError(
      `Cannot use the directory: another file system is mounted on "${path}"`,
      "ROOTFS_MOUNT",
      { hint: "unmount it, or copy the directory without it: cp -ax" },
    );
  }
  if (/[\n\r]/.test(name) || (prefix === "" && name === OWN_FOLDER)) {
    throw new ImageError(
      `Cannot use the directory: there is ${JSON.stringify(path)} in it`,
      "ROOTFS_ENTRY",
      { hint: "remove it, or give it another name" },
    );
  }
}

function fileOf(path: string, { isFile, isDirectory, size, uid, gid }: Deno.FileInfo): HostFile {
  return {
    path,
    bytes: isFile || isDirectory ? size : 0,
    uid: owner(uid ?? 0, Deno.uid()),
    gid: owner(gid ?? 0, Deno.gid()),
  };
}

function owner(host: number, own: number | null): Owner {
  return { host, guest: host === own ? 0 : host };
}

function factsOf(path: string, info: Deno.FileInfo): string {
  const { mode, uid, gid, size, mtime, ctime, nlink, rdev } = info;
  const times = [mtime, ctime].map((time) => time?.getTime());
  return [path, mode, uid, gid, info.isDirectory ? 0 : size, nlink, rdev, ...times].join(" ");
}

function looked<T>(path: string, look: () => T): T {
  try {
    return look();
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new ImageError(`Cannot find "${path}"`, "ROOTFS_NOT_FOUND", { cause });
    }
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ImageError(`Cannot look at "${path}": ${reason}`, "ROOTFS_ACCESS", {
      hint: "every file must be readable: run this as their owner",
      cause,
    });
  }
}
