/** Directories into the guest and back, with a guest that lies about its names. */
import { download, upload } from "../../src/sandbox/trees.ts";
import type { GuestFs } from "../../src/sandbox/guest_fs.ts";
import { GuestReadable } from "../../src/sandbox/guest_readable.ts";
import { assertEquals, assertRejects } from "../../src/std/assert.ts";
import { delay } from "../support/kvm.ts";

const { NotFound } = Deno.errors;

type Files = Parameters<typeof download>[0];
type Entry = string | { readonly link: string } | readonly string[];

/** A guest with `entries` by path: a text, a link, or the names in a directory. */
function fakeGuest(
  entries: Record<string, Entry>,
): Files & { readonly modes: Map<string, number> } {
  const modes = new Map<string, number>();
  const infoOf = (path: string): Deno.FileInfo => {
    const entry = entries[path];
    if (entry === undefined) throw new Deno.errors.NotFound(path);
    const isDirectory = Array.isArray(entry);
    const isFile = typeof entry === "string";
    return {
      ...Deno.statSync("/"),
      isDirectory,
      isFile,
      isSymlink: !isFile && !isDirectory,
      mode: 0o640,
    };
  };
  const write: GuestFs["writeFile"] = async (path, data, { mode = 0 } = {}) => {
    entries[path] = await new Response(data as BodyInit).text();
    modes.set(path, mode);
  };
  return {
    modes,
    lstat: (path) => Promise.resolve(infoOf(path)),
    mkdir: (path) => Promise.resolve(void (entries[path] ??= [])),
    async *readDir(path) {
      for (const name of entries[path] as readonly string[]) {
        yield { name, isFile: false, isDirectory: false, isSymlink: false };
      }
    },
    readStream: (path) =>
      new GuestReadable({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(entries[path] as string));
          controller.close();
        },
      }),
    writeFile: write,
  };
}

/** Paths below `directory`, with the texts of files. */
function tree(directory: string, prefix = ""): Record<string, string> {
  const all: Record<string, string> = {};
  for (const { name, isDirectory } of Deno.readDirSync(directory + prefix)) {
    if (isDirectory) Object.assign(all, tree(directory, `${prefix}/${name}`));
    else all[`${prefix}/${name}`] = Deno.readTextFileSync(`${directory}${prefix}/${name}`);
  }
  return all;
}

Deno.test("what a guest names cannot leave the directory, and its links are left out", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const guest = fakeGuest({
      "/out": ["a", "sub", "link", "..", ".", "", "../evil", "sub/b", "/etc/evil", "n\0l"],
      "/out/a": "A",
      "/out/sub": ["b"],
      "/out/sub/b": "B",
      "/out/link": { link: "/etc/passwd" },
      "/out/..": "evil",
      "/out/../evil": "evil",
      "/out//etc/evil": "evil",
    });
    await download(guest, "/out", `${directory}/x/out`);
    assertEquals(tree(directory), { "/x/out/a": "A", "/x/out/sub/b": "B" });
    assertEquals((Deno.statSync(`${directory}/x/out/a`).mode ?? 0) & 0o777, 0o640);
    await download(guest, "/out/a", new URL(`file://${directory}/of/one`));
    assertEquals(Deno.readTextFileSync(`${directory}/of/one`), "A");
    await assertRejects(() => download(guest, "/none", `${directory}/new/none`), NotFound);
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), ["of", "x"]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("a directory goes in with its permissions, links followed", async () => {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${directory}/sub`);
    await Deno.writeTextFile(`${directory}/sub/run`, "#!", { mode: 0o755 });
    await Deno.symlink("sub/run", `${directory}/link`);
    const entries: Record<string, Entry> = {};
    const guest = fakeGuest(entries);
    await upload(guest, directory, "/in/here");
    assertEquals(entries["/in/here/sub/run"], "#!");
    assertEquals(entries["/in/here/link"], "#!");
    assertEquals(guest.modes.get("/in/here/sub/run"), 0o755);
    await upload(guest, `${directory}/sub/run`, "/of/one");
    assertEquals([entries["/of"], entries["/of/one"]], [[], "#!"]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("a few files are copied at once; when one fails, no other is begun", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const names = Array.from({ length: 20 }, (_, i) => `${i}`);
    for (const name of names) Deno.writeTextFileSync(`${directory}/${name}`, name);
    let [begun, running, most] = [0, 0, 0];
    let failsAt = Infinity;
    const guest: Files = {
      ...fakeGuest({}),
      writeFile: async (_, data) => {
        const mine = ++begun;
        most = Math.max(most, ++running);
        await new Response(data as BodyInit).text();
        await delay(1);
        running--;
        if (mine === failsAt) throw new Deno.errors.PermissionDenied(`${mine}`);
      },
    };
    await upload(guest, directory, "/in");
    assertEquals([begun, running, most], [20, 0, 4]);
    [begun, failsAt] = [0, 3];
    await assertRejects(() => upload(guest, directory, "/in"), Deno.errors.PermissionDenied, "3");
    assertEquals([begun < 12, running], [true, 0]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
