/** Root file systems for tests, of the default root's busybox. */
import { ensureRootImage } from "../../src/guest/mod.ts";
import { type EntryInit, tarOf } from "./archives.ts";

/** The bytes of the default root's busybox. */
export async function busyboxBytes(): Promise<Uint8Array<ArrayBuffer>> {
  const { path } = await ensureRootImage({ progress: { stage() {}, fraction() {} } });
  const file = await Deno.makeTempFile();
  try {
    await debugfs(path, `dump /bin/busybox ${file}`);
    return await Deno.readFile(file);
  } finally {
    await Deno.remove(file);
  }
}

/** What debugfs answers to one command. */
export async function debugfs(image: string, command: string): Promise<string> {
  const { stdout } = await new Deno.Command("debugfs", {
    args: ["-R", command, image],
    env: { DEBUGFS_PAGER: "cat", PAGER: "cat" },
    stderr: "null",
  }).output();
  return new TextDecoder().decode(stdout);
}

/** A layer with busybox and some of its programs. */
export function busyboxLayer(busybox: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const links = ["cat", "env", "id", "ls", "pwd", "sh", "stat", "sync", "touch"];
  return tarOf(
    { name: "bin/", type: "directory", mode: 0o755 },
    { name: "bin/busybox", data: busybox, mode: 0o755 },
    ...links.map((name): EntryInit => ({
      name: `bin/${name}`,
      type: "symlink",
      linkname: "busybox",
    })),
  );
}

/** What the tests' second layer has: one of each kind. */
export function secondLayer(busybox: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const dir = (name: string): EntryInit => ({ name, type: "directory", mode: 0o755 });
  return tarOf(
    dir("etc"),
    { name: "etc/passwd", data: "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv/web:/bin/sh\n" },
    { name: "etc/group", data: "root:x:0:\nstaff:x:50:\n" },
    { name: "bin/.wh.touch" },
    { name: "bin/asroot", data: busybox, mode: 0o4755, uid: 0, gid: 50 },
    dir("srv"),
    dir("srv/web"),
    { name: "srv/web/one", data: "content\n", uid: 33, gid: 34, mode: 0o640 },
    { name: "srv/web/two", type: "link", linkname: "srv/web/one" },
    { name: 'srv/web/a "b" \\c', data: "odd\n", uid: 33, gid: 34, mode: 0o001 },
    { name: "srv/web/pipe", type: "fifo", mode: 0o600 },
    { name: "srv/web/zero", type: "character-device", devmajor: 1, devminor: 5, mode: 0o666 },
  );
}

/** Writes files below a directory, with the directories they need. */
export async function writeFiles(
  directory: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  for (const [name, bytes] of files) {
    const path = `${directory}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeFile(path, bytes);
  }
}
