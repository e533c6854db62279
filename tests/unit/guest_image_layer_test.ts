/** Layers on a tree: OCI image specification, layer.md, and what hostile ones try. */
import { assertEquals, assertRejects } from "../../src/std/assert.ts";
import { DebugfsScript } from "../../src/guest/image/debugfs_script.ts";
import { ImageError } from "../../src/guest/image/errors.ts";
import { applyLayer, type ContentStore } from "../../src/guest/image/layer.ts";
import { UnpackedBudget } from "../../src/guest/image/content_store.ts";
import { ImageTree, type Node } from "../../src/guest/image/tree.ts";
import { concatenated, type EntryInit, paxHeader, pieces, tarOf } from "../support/archives.ts";

/** Contents become their own places. */
class TextStore implements ContentStore {
  async keep(data: AsyncIterable<Uint8Array>): Promise<string> {
    const parts: Uint8Array[] = [];
    for await (const part of data) parts.push(new Uint8Array(part));
    return new TextDecoder().decode(concatenated(parts));
  }
}

async function layered(...layers: readonly (readonly EntryInit[])[]): Promise<ImageTree> {
  const tree = new ImageTree();
  for (const entries of layers) await put(tree, await tarOf(...entries));
  return tree;
}

async function put(tree: ImageTree, archive: Uint8Array, whiteouts = true): Promise<void> {
  await applyLayer(tree, pieces(archive), new TextStore(), { whiteouts });
}

/** Paths, and what is there: a file's text, a link's target, or the kind. */
function listing(tree: ImageTree): Record<string, string> {
  const rows = [...tree.all()].map(([path, node]) => [path, described(node)] as const);
  return Object.fromEntries(rows.sort(([a], [b]) => a < b ? -1 : 1));
}

function described(node: Node): string {
  if (node.kind === "file") return node.content ?? "";
  return node.kind === "symlink" ? `-> ${node.target}` : node.kind;
}

function dir(name: string, more: Partial<EntryInit> = {}): EntryInit {
  return { name, type: "directory", mode: 0o755, ...more };
}

function link(name: string, linkname: string): EntryInit {
  return { name, linkname, type: "symlink" };
}

Deno.test("a later layer replaces, adds and hides what is below it", async () => {
  const tree = await layered(
    [dir("etc"), { name: "etc/a", data: "1" }, { name: "etc/b", data: "1" }, dir("var/x"), {
      name: "var/x/y",
      data: "1",
    }],
    [{ name: "etc/.wh.a" }, { name: "etc/b", data: "2" }, { name: "var/.wh.x" }, {
      name: ".wh..wh.plnk",
    }, { name: "etc/.wh.never" }],
  );
  assertEquals(listing(tree), { "/etc": "directory", "/etc/b": "2", "/var": "directory" });
});

Deno.test("a whiteout hides nothing of its own layer, wherever it stands", async () => {
  const below = [dir("d"), { name: "d/old", data: "1" }, { name: "d/sub/old", data: "1" }];
  const wanted = { "/d": "directory", "/d/new": "2", "/d/sub": "directory", "/d/sub/new": "2" };
  const own = [{ name: "d/new", data: "2" }, { name: "d/sub/new", data: "2" }];
  const opaque = { name: "d/.wh..wh..opq" };
  assertEquals(listing(await layered(below, [opaque, ...own])), wanted);
  assertEquals(listing(await layered(below, [...own, opaque])), wanted);
  assertEquals(listing(await layered(below, [...own, { name: ".wh.d" }])), wanted);
});

Deno.test("directories keep what is in them, all else is replaced", async () => {
  const tree = await layered(
    [dir("d", { mode: 0o700 }), { name: "d/f", data: "1" }, dir("e"), { name: "e/f", data: "1" }],
    [dir("d", { mode: 0o1777, uid: 7 }), { name: "e", data: "a file now" }, link("l", "d")],
    [dir("l")],
  );
  assertEquals(listing(tree), {
    "/d": "directory",
    "/d/f": "1",
    "/e": "a file now",
    "/l": "directory",
  });
  const { mode, uid } = tree.directory(["d"]).attributes;
  assertEquals([mode, uid], [0o1777, 7]);
});

Deno.test("owners, modes, times, devices and extended attributes are kept", async () => {
  const capability = new Uint8Array([1, 0, 0, 2, 0x80, 0xff, 10, 0, 61]);
  const tree = new ImageTree();
  await put(
    tree,
    await tarOf(
      { name: "su", data: "x", mode: 0o4755, uid: 3, gid: 4, mtime: new Date(5000) },
      { name: "null", type: "character-device", devmajor: 1, devminor: 3, mode: 0o666 },
      { name: "disk", type: "block-device", devmajor: 254, devminor: 1 },
      { name: "pipe", type: "fifo" },
      paxHeader(
        ["SCHILY.xattr.security.capability", capability],
        ["uid", new TextEncoder().encode("4000000")],
        ["mtime", new TextEncoder().encode("77.25")],
        ["path", new TextEncoder().encode(`${"long/".repeat(60)}ping`)],
      ),
      { name: "ping", data: "p" },
      { name: "plain", data: "q" },
    ),
  );
  const su = tree.find(["su"]);
  assertEquals(su?.attributes, { mode: 0o4755, uid: 3, gid: 4, mtime: 5, xattrs: new Map() });
  const nothing = tree.find(["null"]);
  assertEquals(nothing?.kind === "character" && [nothing.major, nothing.minor], [1, 3]);
  assertEquals(tree.find(["disk"])?.kind, "block");
  assertEquals(tree.find(["pipe"])?.kind, "fifo");
  const ping = tree.find([...Array(60).fill("long"), "ping"])?.attributes;
  assertEquals([ping?.uid, ping?.mtime], [4_000_000, 77]);
  assertEquals(ping?.xattrs, new Map([["security.capability", capability]]));
  assertEquals(tree.find(["plain"])?.attributes.xattrs.size, 0);
});

Deno.test("hard links are one file, also across layers", async () => {
  const tree = await layered(
    [{ name: "a", data: "1" }],
    [{ name: "b", type: "link", linkname: "./a" }, { name: ".wh.a" }],
  );
  assertEquals(listing(tree), { "/b": "1" });
  const both = await layered([{ name: "a", data: "1" }, {
    name: "b",
    type: "link",
    linkname: "/a",
  }]);
  assertEquals(both.find(["a"]), both.find(["b"]));
});

Deno.test("nothing leads out of the tree", async () => {
  const through = await layered([link("a", "/etc"), { name: "a/x", data: "1" }]);
  assertEquals(listing(through), { "/a": "-> /etc", "/etc": "directory", "/etc/x": "1" });
  const up = await layered([link("a", "../../../../tmp"), { name: "a/x", data: "1" }]);
  assertEquals(listing(up), { "/a": "-> ../../../../tmp", "/tmp": "directory", "/tmp/x": "1" });
  const above = await layered([link("a", ".."), { name: "a/x", data: "1" }]);
  assertEquals(listing(above), { "/a": "-> ..", "/x": "1" });
  const nested = await layered([dir("d"), link("d/a", "/e"), { name: "d/a/x", data: "1" }]);
  assertEquals(listing(nested), {
    "/d": "directory",
    "/d/a": "-> /e",
    "/e": "directory",
    "/e/x": "1",
  });
  const absolute = await layered([{ name: "/etc/x", data: "1" }]);
  assertEquals(listing(absolute), { "/etc": "directory", "/etc/x": "1" });
});

Deno.test("what makes no sense is refused, with a code", async () => {
  const circle = [link("a", "b"), link("b", "a"), { name: "a/x", data: "1" }];
  const cases: readonly (readonly EntryInit[])[] = [
    [{ name: "../x", data: "1" }],
    [{ name: "a/../../x", data: "1" }],
    [{ name: "x", type: "link", linkname: "../../etc/shadow" }],
    [{ name: "x", type: "link", linkname: "/etc/shadow" }],
    [{ name: "a\nwrite /etc/shadow x", data: "1" }],
    [link("x", "a\rb")],
    [{ name: `${"n".repeat(256)}`, data: "1" }],
    [{ name: `${"n/".repeat(2100)}`, data: "1" }],
    [{ name: "f", data: "1" }, { name: "f/x", data: "1" }],
    [{ name: ".", data: "a root that is a file" }],
    circle,
  ];
  for (const entries of cases) {
    const error = await assertRejects(
      () => layered(entries),
      ImageError,
      "",
      JSON.stringify(entries).slice(0, 80),
    );
    assertEquals(error.code, "ROOTFS_ENTRY", JSON.stringify(entries).slice(0, 80));
  }
});

Deno.test("a damaged or endless archive is refused", async () => {
  const archive = await tarOf({ name: "a", data: "x".repeat(5000) });
  for (const part of [archive.subarray(0, 3000), new Uint8Array(1000).fill(65)]) {
    const error = await assertRejects(() => put(new ImageTree(), part), ImageError);
    assertEquals(error.code, "ROOTFS_DAMAGED");
  }
  const budget = new UnpackedBudget(4000);
  const error = await assertRejects(
    () =>
      applyLayer(new ImageTree(), budget.through(pieces(archive)), new TextStore(), {
        whiteouts: true,
      }),
    ImageError,
  );
  assertEquals(error.code, "ROOTFS_TOO_BIG");
});

Deno.test("a plain archive has no whiteouts", async () => {
  const tree = new ImageTree();
  await put(tree, await tarOf({ name: ".wh.a", data: "1" }), false);
  assertEquals(listing(tree), { "/.wh.a": "1" });
});

Deno.test("names are data to debugfs, never commands", async () => {
  const script = new DebugfsScript();
  const attributes = { mode: 0o4755, uid: 1, gid: 2, mtime: -5, xattrs: new Map() };
  script.setAttributes('/a "b" c', "file", attributes);
  script.makeSpecial("/dev/nu ll", "character", 1, 3);
  assertEquals(script.text.split("\n"), [
    'set_inode_field "/a ""b"" c" mode 0104755',
    'set_inode_field "/a ""b"" c" uid 1',
    'set_inode_field "/a ""b"" c" gid 2',
    'set_inode_field "/a ""b"" c" atime @0',
    'set_inode_field "/a ""b"" c" ctime @0',
    'set_inode_field "/a ""b"" c" mtime @0',
    'cd "/dev"',
    'mknod "nu ll" c 1 3',
    "",
  ]);
  for (const name of ["/a\nrm b", `/${'"'.repeat(4000)}`]) {
    await assertRejects(async () => await script.setOwner(name, 0, 0), ImageError);
  }
});
