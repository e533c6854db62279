// The cache of the default guest: keys, stamps, atomic publishing, locking, and the kernel's recipe.
// No network and no build; only a temporary directory.

import assert from "node:assert/strict";
import { ArtifactCache, cacheDirectory, contentKey } from "../../src/guest/cache.ts";
import { ensureKernel, ensureRootImage, execWord, GuestBuildError } from "../../src/guest/mod.ts";
import {
  parseConfig,
  readKernelRecipe,
  readRootRecipe,
  refusedOptions,
} from "../../src/guest/recipe.ts";

const RECIPE = "a".repeat(64);
const KEY = "b".repeat(64);

function variables(values: Record<string, string>): (name: string) => string | undefined {
  return (name) => values[name];
}

async function temporary(): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir({ prefix: "dinovisor-guest-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

async function publish(cache: ArtifactCache, text: string): Promise<string> {
  await using scratch = await cache.scratch();
  const file = `${scratch.path}/out`;
  await Deno.writeTextFile(file, text);
  return (await cache.publish({ recipe: RECIPE, key: KEY, file, facts: { compiler: "gcc 12" } }))
    .path;
}

function neverWait(): void {
  throw new Error("nobody else holds the lock");
}

function noBuild(): { stage(name: string): void; fraction(done: number): void } {
  return {
    stage(name: string): void {
      throw new Error(`a build has started: ${name}`);
    },
    fraction(): void {},
  };
}

Deno.test("the cache directory follows DINOVISOR_CACHE, then XDG, then HOME", () => {
  const home = { HOME: "/home/ann" };
  assert.equal(cacheDirectory(variables(home)), "/home/ann/.cache/dinovisor");
  assert.equal(cacheDirectory(variables({ ...home, XDG_CACHE_HOME: "/x" })), "/x/dinovisor");
  assert.equal(
    cacheDirectory(variables({ ...home, XDG_CACHE_HOME: "relative" })),
    "/home/ann/.cache/dinovisor",
  );
  assert.equal(
    cacheDirectory(variables({ ...home, XDG_CACHE_HOME: "/x", DINOVISOR_CACHE: "/d" })),
    "/d",
  );
  assert.throws(() => cacheDirectory(variables({})), (error) => {
    return error instanceof GuestBuildError && error.code === "GUEST_CACHE" &&
      error.hint !== undefined;
  });
});

Deno.test("a content key depends on every text and on where one ends", async () => {
  const keys = await Promise.all([
    contentKey("ab", "c"),
    contentKey("a", "bc"),
    contentKey("abc"),
    contentKey("ab"),
  ]);
  assert.equal(new Set(keys).size, keys.length);
  for (const key of keys) assert.match(key, /^[0-9a-f]{64}$/);
  assert.equal(await contentKey("ab", "c"), keys[0]);
});

Deno.test("an artifact is found once it is published, and only whole", async () => {
  await using place = await temporary();
  const cache = new ArtifactCache(place.path, "vmlinux");
  assert.equal(await cache.find(RECIPE), undefined);
  const path = await publish(cache, "kernel");
  assert.deepEqual(await cache.find(RECIPE), {
    key: KEY,
    path,
    bytes: 6,
    facts: { compiler: "gcc 12" },
  });
  assert.equal(await new ArtifactCache(place.path, "root.ext2").find(RECIPE), undefined);
  await Deno.writeTextFile(path, "kern");
  assert.equal(await cache.find(RECIPE), undefined);
});

Deno.test("a damaged stamp counts as none", async () => {
  await using place = await temporary();
  const cache = new ArtifactCache(place.path, "vmlinux");
  await publish(cache, "kernel");
  const stamp = `${place.path}/guest/vmlinux-${RECIPE.slice(0, 16)}.json`;
  for (const text of ["", "{", "null", "[]", '{"key":1,"bytes":6}']) {
    await Deno.writeTextFile(stamp, text);
    assert.equal(await cache.find(RECIPE), undefined, text);
  }
});

Deno.test("publishing replaces an artifact without touching the file that is in use", async () => {
  await using place = await temporary();
  const cache = new ArtifactCache(place.path, "vmlinux");
  using inUse = await Deno.open(await publish(cache, "old kernel"));
  const path = await publish(cache, "new");
  assert.equal(await Deno.readTextFile(path), "new");
  const bytes = new Uint8Array(32);
  assert.equal(
    new TextDecoder().decode(bytes.subarray(0, await inUse.read(bytes) ?? 0)),
    "old kernel",
  );
});

Deno.test("an artifact may be a folder, found only whole, and replaced by one of the same key", async () => {
  await using place = await temporary();
  const cache = new ArtifactCache(place.path, "kernel");
  const publishFolder = async (text: string): Promise<string> => {
    await using scratch = await cache.scratch();
    const file = `${scratch.path}/out`;
    await Deno.mkdir(file);
    for (const name of ["a", "b"]) await Deno.writeTextFile(`${file}/${name}`, text + name);
    return (await cache.publish({ recipe: RECIPE, key: KEY, file, facts: {} })).path;
  };
  const path = await publishFolder("old ");
  assert.equal((await cache.find(RECIPE))?.bytes, 10);
  assert.equal(await publishFolder("newer "), path);
  assert.equal((await cache.find(RECIPE))?.bytes, 14);
  assert.equal(await Deno.readTextFile(`${path}/b`), "newer b");
  assert.deepEqual([...Deno.readDirSync(`${place.path}/guest`)].length, 2); // folder and stamp
  await Deno.remove(`${path}/a`);
  assert.equal(await cache.find(RECIPE), undefined);
});

Deno.test("scratch directories go away, also those of a builder that was killed", async () => {
  await using place = await temporary();
  const cache = new ArtifactCache(place.path, "vmlinux");
  const abandoned = (await cache.scratch()).path;
  await Deno.writeTextFile(`${abandoned}/half`, "half");
  {
    await using scratch = await cache.scratch();
    assert.equal((await Deno.stat(scratch.path)).isDirectory, true);
  }
  assert.deepEqual([...Deno.readDirSync(`${place.path}/guest`)], []);
});

Deno.test("one builder at a time: the second waits and hears of the first", async () => {
  await using place = await temporary();
  const cache = new ArtifactCache(place.path, "vmlinux");
  const first = await cache.lock(neverWait);
  const owners: string[] = [];
  const second = cache.lock((owner) => owners.push(owner));
  while (owners.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(owners, [`${Deno.pid}`]);
  using other = await new ArtifactCache(place.path, "root.ext2").lock(neverWait);
  assert.ok(other);
  first[Symbol.dispose]();
  using held = await second;
  assert.ok(held);
});

Deno.test("waiting for a lock ends with the signal", async () => {
  await using place = await temporary();
  const cache = new ArtifactCache(place.path, "vmlinux");
  using held = await cache.lock(neverWait);
  assert.ok(held);
  const controller = new AbortController();
  const waiting = cache.lock(() => controller.abort(new Error("enough")), controller.signal);
  await assert.rejects(waiting, /enough/);
  await assert.rejects(cache.lock(neverWait, controller.signal), /enough/);
});

Deno.test("a lock file that a dead builder left behind does not hold anyone up", async () => {
  await using place = await temporary();
  await Deno.mkdir(`${place.path}/guest`);
  await Deno.writeTextFile(`${place.path}/guest/vmlinux.lock`, "999999\n");
  using held = await new ArtifactCache(place.path, "vmlinux").lock(neverWait);
  assert.ok(held);
});

Deno.test("the start path takes kernel and image from the cache and builds nothing", async () => {
  await using place = await temporary();
  const options = { progress: noBuild(), cacheDirectory: place.path };
  const [kernel, root] = await Promise.all([readKernelRecipe(), readRootRecipe()]);
  for (const [kind, recipe] of [["vmlinux", kernel.key], ["root.ext2", root.key]] as const) {
    const cache = new ArtifactCache(place.path, kind);
    await using scratch = await cache.scratch();
    await Deno.writeTextFile(`${scratch.path}/out`, kind);
    await cache.publish({ recipe, key: KEY, file: `${scratch.path}/out`, facts: {} });
  }
  for (const file of [await ensureKernel(options), await ensureRootImage(options)]) {
    assert.equal(file.built, false);
    assert.equal(file.key, KEY);
    assert.equal((await Deno.stat(file.path)).isFile, true);
  }
});

Deno.test("a cache that cannot be written is reported with its path and a hint", async () => {
  await using place = await temporary();
  await Deno.writeTextFile(`${place.path}/guest`, "a file");
  const cache = new ArtifactCache(place.path, "vmlinux");
  await assert.rejects(cache.lock(neverWait), (error) => {
    return error instanceof GuestBuildError && error.code === "GUEST_CACHE" &&
      error.message.includes(`"${place.path}/guest"`) && error.hint !== undefined;
  });
});

Deno.test("the kernel's configuration has what the monitor relies on", async () => {
  const { config, patches } = await readKernelRecipe();
  const options = parseConfig(config);
  const needed = [
    "64BIT",
    "PVH",
    "OF",
    "VIRTIO_MMIO",
    "VIRTIO_MMIO_CMDLINE_DEVICES",
    "VIRTIO_BLK",
    "VIRTIO_NET",
  ]
    .concat([
      "VIRTIO_CONSOLE",
      "HW_RANDOM_VIRTIO",
      "VIRTIO_BALLOON",
      "VIRTIO_VSOCKETS",
      "VIRTIO_FS",
      "EXT2_FS",
    ])
    .concat([
      "SQUASHFS",
      "TMPFS",
      "DEVTMPFS_MOUNT",
      "SERIAL_8250_CONSOLE",
      "DEVPORT",
      "BLK_DEV_INITRD",
    ]);
  for (const name of needed) assert.equal(options.get(name), "y", name);
  for (const name of ["PCI", "ACPI", "SMP", "MODULES", "CMDLINE_OVERRIDE"]) {
    assert.equal(options.has(name), false, name);
  }
  assert.ok(patches.some(({ text }) => text.includes("writeb(SLEEP_NOW_S5, sleep_control)")));
  for (const { name, text } of patches) assert.match(text, /^--- a\/\S+\n\+\+\+ b\/\S+$/m, name);
});

Deno.test("options that a kernel refuses are named", () => {
  const asked = 'CONFIG_A=y\n# CONFIG_B is a comment\nCONFIG_C="x y"\nCONFIG_D=n\nCONFIG_E=8\n';
  assert.deepEqual(refusedOptions(asked, 'CONFIG_A=y\nCONFIG_C="x y"\nCONFIG_E=8\n'), []);
  assert.deepEqual(refusedOptions(asked, "# CONFIG_A is not set\nCONFIG_E=16\n"), [
    "CONFIG_A=y",
    'CONFIG_C="x y"',
    "CONFIG_E=8",
  ]);
});

Deno.test("a command becomes one word of the kernel command line", () => {
  assert.equal(execWord("exit 3"), "dinovisor.exec=ZXhpdCAz");
  assert.match(execWord("printf 'ä\\n'; ls | wc"), /^dinovisor\.exec=[A-Za-z0-9+/]+=*$/);
});

Deno.test("cache: trimming leaves what was used last, and other kinds", async () => {
  await using directory = await temporary();
  const cache = new ArtifactCache(directory.path, "one");
  const other = new ArtifactCache(directory.path, "two");
  const keys = ["a", "b", "c"].map((digit) => digit.repeat(64));
  const old = new Date(1000);
  const made = keys.map((key) => [cache, key] as const);
  for (const [kind, key] of [[other, "a".repeat(64)] as const, ...made]) {
    await using scratch = await kind.scratch();
    const file = `${scratch.path}/out`;
    await Deno.writeTextFile(file, key);
    const { path } = await kind.publish({ recipe: key, key, file, facts: {} });
    await Deno.utime(`${path}.json`, old, old);
  }
  const [first = ""] = keys;
  await cache.touch(first);
  await cache.touch("f".repeat(64)); // there is none
  await cache.trim(1);
  const left = await Promise.all(keys.map((key) => cache.find(key)));
  assert.deepEqual(left.map((artifact) => artifact !== undefined), [true, false, false]);
  const names = [...Deno.readDirSync(`${directory.path}/guest`)].map(({ name }) => name).sort();
  const kept = first.slice(0, 16);
  assert.deepEqual(names, [`one-${kept}`, `one-${kept}.json`, `two-${kept}`, `two-${kept}.json`]);
});
