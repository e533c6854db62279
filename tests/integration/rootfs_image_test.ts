/** Images that are made of directories, archives and OCI images, as e2fsprogs finds them. No VM. */
import { relative } from "node:path";
import { ensureRoot, type PreparedRoot } from "../../src/guest/image/ensure.ts";
import { ImageError } from "../../src/guest/image/errors.ts";
import type { RootSource } from "../../src/guest/image/source.ts";
import { cacheDirectory } from "../../src/guest/cache.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../src/std/assert.ts";
import { dockerSave, ociLayout, paxHeader, tarOf, tarOfFiles } from "../support/archives.ts";
import { missingProgram } from "../support/debian_program.ts";
import {
  busyboxBytes,
  busyboxLayer,
  debugfs,
  secondLayer,
  writeFiles,
} from "../support/root_files.ts";

/** Of an image: what is compared byte by byte need not be large. */
const SMALL = 2 ** 26;

/** A directory for archives, and a cache in it that has the user's default root. */
class Stand implements AsyncDisposable {
  readonly stages: string[] = [];

  private constructor(readonly path: string) {}

  static async open(): Promise<Stand> {
    const stand = new Stand(
      await Deno.makeTempDir({ dir: "/var/tmp", prefix: "dinovisor-rootfs-" }),
    );
    await Deno.mkdir(`${stand.path}/guest`);
    await busyboxBytes(); // the user's cache has it from here on
    for await (const { name } of Deno.readDir(`${cacheDirectory()}/guest`)) {
      const isRoot = /^root\.ext2-.*$/.test(name);
      if (isRoot) {
        await Deno.copyFile(`${cacheDirectory()}/guest/${name}`, `${stand.path}/guest/${name}`);
      }
    }
    return stand;
  }

  async ensure(source: RootSource, bytes?: number): Promise<PreparedRoot> {
    this.stages.length = 0;
    const progress = {
      stage: (name: string, detail = "") => void this.stages.push(`${name} ${detail}`),
      fraction() {},
    };
    return await ensureRoot({ source, bytes }, { progress, cacheDirectory: this.path });
  }

  async write(name: string, bytes: Uint8Array): Promise<string> {
    await Deno.writeFile(`${this.path}/${name}`, bytes);
    return `${this.path}/${name}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

async function piped(program: string, args: string[], bytes: Uint8Array): Promise<Uint8Array> {
  await using child = new Deno.Command(program, { args, stdin: "piped", stdout: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  const [{ stdout }] = await Promise.all([
    child.output(),
    writer.write(new Uint8Array(bytes)).then(() => writer.close()),
  ]);
  return stdout;
}

async function isSound(image: string): Promise<void> {
  const { code, stdout } = await new Deno.Command("e2fsck", { args: ["-fn", image] }).output();
  assertEquals(code, 0, new TextDecoder().decode(stdout));
}

async function inode(image: string, path: string): Promise<string> {
  return (await debugfs(image, `stat "${path.replaceAll('"', '""')}"`)).replaceAll(/ +/g, " ");
}

Deno.test("an OCI image in all its forms is one root; the second time it is there", async () => {
  await using stand = await Stand.open();
  const busybox = await busyboxBytes();
  const tars = [await busyboxLayer(busybox), await secondLayer(busybox)];
  const packers = [["gzip", "-c"], ["cat"]];
  const layers = await Promise.all(tars.map(async (tar, index) => {
    const [program = "", ...args] = packers[index] ?? [];
    return { tar, packed: new Uint8Array(await piped(program, args, tar)) };
  }));
  const config = { Entrypoint: ["/bin/sh"], User: "web:staff", WorkingDir: "/made/here" };
  const files = await ociLayout({ layers, config, name: "box:1" });
  await writeFiles(`${stand.path}/layout`, files);

  const layout = { kind: "auto", path: `${stand.path}/layout` } as const;
  const first = await stand.ensure(layout, SMALL);
  assertEquals([first.built, first.hasAgent], [true, true]);
  assertEquals(first.config.entrypoint, ["/bin/sh"]);
  await isSound(first.path);
  const asroot = await inode(first.path, "/bin/asroot");
  for (const text of ["Mode: 04755", "User: 0 Group: 50", "Size: 1"]) {
    assertStringIncludes(asroot, text);
  }
  assertStringIncludes(asroot, "mtime: 0x3b9aca00");
  const one = await inode(first.path, "/srv/web/one");
  assertStringIncludes(one, "Links: 2");
  assertEquals(await inode(first.path, "/srv/web/two"), one);
  assertStringIncludes(await inode(first.path, '/srv/web/a "b" \\c'), "Mode: 0001");
  assertStringIncludes(
    await inode(first.path, "/srv/web/zero"),
    "Device major/minor number: 01:05",
  );
  assertStringIncludes(await inode(first.path, "/srv/web/pipe"), "Type: FIFO");
  assertStringIncludes(await inode(first.path, "/tmp"), "Mode: 01777");
  assertStringIncludes(await inode(first.path, "/made/here"), "Type: directory");
  assertStringIncludes(await inode(first.path, "/.dinovisor/agent"), "Mode: 0755");
  assertEquals(await inode(first.path, "/bin/touch"), "");

  const { mtime } = await Deno.stat(first.path);
  const second = await stand.ensure(layout, SMALL);
  assertEquals([second.built, second.path, stand.stages], [false, first.path, []]);
  assertEquals((await Deno.stat(first.path)).mtime, mtime);
  assertEquals(second.config, first.config);

  const others = {
    "oci.tar": await tarOfFiles(files),
    "oci.tar.gz": await piped("gzip", ["-c"], await tarOfFiles(files)),
    "docker.tar": await tarOfFiles(
      await dockerSave({ layers, config, name: "box:1" }),
    ),
  };
  const bytesOfFirst = await Deno.readFile(first.path);
  for (const [name, bytes] of Object.entries(others)) {
    const root = await stand.ensure({
      kind: "auto",
      path: await stand.write(name, bytes),
      ref: "box:1",
    }, SMALL);
    assertEquals([root.built, root.config], [true, first.config], name);
    assert(equal(await Deno.readFile(root.path), bytesOfFirst), `${name} is another image`);
    await Deno.remove(root.path);
  }
});

function equal(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  const [a, b] = [one, other].map((bytes) => new BigUint64Array(bytes.buffer));
  return a !== undefined && b !== undefined && a.every((word, index) => word === b[index]);
}

Deno.test("archives and directories; changes are seen, damage and excess are refused", async () => {
  await using stand = await Stand.open();
  const capability = new Uint8Array([1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  const tar = await tarOf(
    { name: ".wh.kept", data: "1" },
    paxHeader(["SCHILY.xattr.security.capability", capability]),
    { name: "ping", data: "p", mode: 0o755 },
  );
  const archive = await stand.write("root.tar", tar);
  const plain = await stand.ensure({ kind: "auto", path: archive });
  await isSound(plain.path);
  assertEquals((await Deno.stat(plain.path)).size, 2 ** 30);
  assertStringIncludes(await debugfs(plain.path, "ls /"), ".wh.kept");
  assertStringIncludes(
    await inode(plain.path, "/ping"),
    "security.capability (20) = 01 00 00 02 00 20",
  );
  assertEquals((await stand.ensure({ kind: "auto", path: archive })).built, false);
  assertEquals((await stand.ensure({ kind: "tar", path: archive }, 2 ** 31)).built, true);
  const missing = await missingProgram("zstd", "--version", "zstd");
  if (missing === undefined) {
    const frames = await Promise.all(
      [tar.subarray(0, 700), tar.subarray(700)].map((part) => piped("zstd", ["-qc"], part)),
    );
    const bytes = new Uint8Array(
      await new Blob(frames.map((part) => new Uint8Array(part))).arrayBuffer(),
    );
    const packed = await stand.ensure({
      kind: "tar",
      path: await stand.write("root.tar.zst", bytes),
    });
    assertStringIncludes(await debugfs(packed.path, "ls /"), "ping");
    const short = await stand.write("short.tar.zst", bytes.subarray(0, bytes.length - 5));
    assertEquals(await codeOf(stand.ensure({ kind: "tar", path: short })), "ROOTFS_DAMAGED");
  }

  const directory = `${stand.path}/dir`;
  await writeFiles(directory, new Map([["a b/c", new Uint8Array(9)]]));
  await Deno.chmod(`${directory}/a b/c`, 0o4711);
  await Deno.symlink("/nowhere", `${directory}/link`);
  const made = await stand.ensure({ kind: "auto", path: relative(Deno.cwd(), directory) });
  await isSound(made.path);
  assertStringIncludes(await inode(made.path, "/a b/c"), "Mode: 04711");
  assertStringIncludes(await inode(made.path, "/a b/c"), "User: 0 Group: 0");
  assertEquals((await stand.ensure({ kind: "dir", path: directory })).built, false);
  await Deno.chmod(`${directory}/a b/c`, 0o755);
  assertEquals((await stand.ensure({ kind: "dir", path: directory })).built, true);

  const big = await stand.write("big.tar", await tarOf({ name: "big", data: new Uint8Array(9e6) }));
  assertEquals(await codeOf(stand.ensure({ kind: "tar", path: big }, 2 ** 23)), "ROOTFS_TOO_BIG");
  const cut = await stand.write("cut.tar.gz", (await piped("gzip", ["-c"], tar)).subarray(0, 90));
  assertEquals(await codeOf(stand.ensure({ kind: "tar", path: cut })), "ROOTFS_DAMAGED");
  await Deno.mkdir(`${directory}/.dinovisor`);
  assertEquals(await codeOf(stand.ensure({ kind: "dir", path: directory })), "ROOTFS_ENTRY");
  const foreign = await stand.write(
    "root.tar.xz",
    Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, ...tar.subarray(0, 90)),
  );
  const notes = await stand.write("notes.txt", new TextEncoder().encode("no root\n"));
  for (
    const [source, code] of [
      [{ kind: "auto", path: `${stand.path}/none` }, "ROOTFS_NOT_FOUND"],
      [{ kind: "auto", path: foreign }, "ROOTFS_KIND"],
      [{ kind: "tar", path: foreign }, "ROOTFS_KIND"],
      [{ kind: "auto", path: notes }, "ROOTFS_KIND"],
      [{ kind: "dir", path: archive }, "ROOTFS_KIND"],
      [{ kind: "oci", path: directory }, "ROOTFS_KIND"],
      [{ kind: "oci", path: archive }, "ROOTFS_DAMAGED"],
    ] as const
  ) assertEquals(await codeOf(stand.ensure(source)), code);
  const disk = await stand.write("disk.raw", new Uint8Array(4096));
  assertEquals((await stand.ensure({ kind: "auto", path: disk })).hasAgent, false);
  // A failed build leaves its log, and nothing else.
  const left = [...Deno.readDirSync(`${stand.path}/guest`)].filter(({ name }) =>
    name.includes(".tmp-")
  );
  assertEquals(left.map(({ name }) => name), []);
});

async function codeOf(work: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => work, ImageError)).code;
}
