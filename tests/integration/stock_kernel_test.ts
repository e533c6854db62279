// Debian's cloud kernels as packages: downloaded once into the user's cache, then found there.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../src/std/assert.ts";
import { architecture } from "../../src/arch/mod.ts";
import { ArtifactCache } from "../../src/guest/cache.ts";
import { ensureStockKernel, findStockKernel, GuestBuildError } from "../../src/guest/mod.ts";
import { readStockRecipe } from "../../src/guest/stock_recipe.ts";
import { FileImage } from "../../src/machine/image_source.ts";

const SILENT = { stage() {}, fraction() {} };
const SAY = { stage: (name: string) => console.log(`stock kernel: ${name}`), fraction() {} };

Deno.test("Debian's bookworm cloud kernel comes as a bzImage and an initramfs with its modules", async () => {
  const stock = await ensureStockKernel("bookworm", { progress: SAY });
  assert(/^6\.1\.0-\d+-cloud-amd64$/.test(stock.version), stock.version);
  using image = new FileImage(stock.kernel);
  const info = architecture().inspectKernel(image);
  assertEquals(info.format, "bzimage");
  assertStringIncludes(info.description, stock.version);
  const modules = (stock.facts["modules"] ?? "").split(" ");
  for (const name of ["virtio_mmio", "virtio_blk"]) assert(modules.includes(name), name);
  assert(modules.indexOf("virtio") < modules.indexOf("virtio_mmio"), modules.join(" "));
  assertStringIncludes(stock.facts["packages"] ?? "", `linux-image-${stock.version} 6.1.`);
  const initrd = await Deno.readFile(stock.initrd);
  assertEquals(new TextDecoder().decode(initrd.subarray(0, 6)), "070701");
  const again = await ensureStockKernel("bookworm", { progress: SILENT });
  assertEquals([again.built, again.kernel, again.key], [false, stock.kernel, stock.key]);
  assertEquals((await findStockKernel("bookworm"))?.initrd, stock.initrd);
});

Deno.test("a stock kernel with a file missing or cut is none", async () => {
  await using place = await temporary();
  await publishFake(place.path);
  const found = await findStockKernel("trixie", place.path);
  assertEquals([found?.suite, found?.version], ["trixie", "6.12"]);
  assertEquals(await Deno.readTextFile(found?.initrd ?? ""), "initramfs");
  assertEquals(await findStockKernel("sid", place.path), undefined);
  await Deno.remove(found?.initrd ?? "");
  assertEquals(await findStockKernel("trixie", place.path), undefined);
});

Deno.test("an archive that cannot be reached is an error with a hint, and leaves nothing behind", async () => {
  await using place = await temporary();
  using _offline = withoutNetwork();
  const ensured = ensureStockKernel("sid", { progress: SILENT, cacheDirectory: place.path });
  const error = await assertRejects(() => ensured);
  assert(error instanceof GuestBuildError && error.code === "GUEST_PACKAGES");
  assertStringIncludes(error.message, "Cannot download packages of Debian sid");
  assertStringIncludes(error.hint ?? "", "check the network, and the proxy");
  assertStringIncludes(error.logTail ?? "", "Failed to fetch");
  assert(!error.logTail?.includes("dlstatus"), error.logTail);
  assertEquals(namesIn(`${place.path}/guest`), ["debian-sid.lock", "debian-sid.log"]);
});

Deno.test("a host without apt is told so, and what to do", async () => {
  await using place = await temporary();
  using _empty = variable("PATH", place.path);
  const ensured = ensureStockKernel("sid", { progress: SILENT, cacheDirectory: place.path });
  const error = await assertRejects(() => ensured);
  assert(error instanceof GuestBuildError && error.code === "GUEST_HOST", `${error}`);
  assertStringIncludes(error.message, 'there is no "apt-get" on this system');
  assertStringIncludes(error.hint ?? "", "--kernel PATH");
});

Deno.test("a refresh keeps the kernel that is there when the archive cannot be reached", async () => {
  await using place = await temporary();
  const path = await publishFake(place.path);
  using _offline = withoutNetwork();
  const told: string[] = [];
  const kept = await ensureStockKernel("trixie", {
    progress: { stage: (name) => told.push(name), fraction() {} },
    refresh: true,
    cacheDirectory: place.path,
  });
  assertEquals([kept.built, kept.kernel], [false, `${path}/vmlinuz`]);
  assertEquals(told, ["package lists", "keep what is there"]);
});

Deno.test("a download ends with the signal and leaves nothing behind", async () => {
  await using place = await temporary();
  const controller = new AbortController();
  const reason = new Error("enough");
  const progress = { stage: () => setTimeout(() => controller.abort(reason), 100), fraction() {} };
  const options = { progress, signal: controller.signal, cacheDirectory: place.path };
  assertEquals(await assertRejects(() => ensureStockKernel("sid", options)), reason);
  assertEquals(namesIn(`${place.path}/guest`), ["debian-sid.lock", "debian-sid.log"]);
});

async function publishFake(directory: string): Promise<string> {
  const cache = new ArtifactCache(directory, "debian-trixie");
  const recipe = (await readStockRecipe("trixie")).key;
  await using scratch = await cache.scratch();
  const file = `${scratch.path}/result`;
  await Deno.mkdir(file);
  await Deno.writeTextFile(`${file}/vmlinuz`, "kernel");
  await Deno.writeTextFile(`${file}/initrd`, "initramfs");
  const fresh = { recipe, key: "k".repeat(64), file, facts: { release: "6.12" } };
  return (await cache.publish(fresh)).path;
}

function namesIn(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}

/** Points apt to a proxy that is not there. */
function withoutNetwork(): Disposable {
  return variable("http_proxy", "http://127.0.0.1:1");
}

/** Sets an environment variable for a while. */
function variable(name: string, value: string): Disposable {
  const before = Deno.env.get(name);
  Deno.env.set(name, value);
  return {
    [Symbol.dispose]() {
      if (before === undefined) Deno.env.delete(name);
      else Deno.env.set(name, before);
    },
  };
}

async function temporary(): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir({ prefix: "dinovisor-stock-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
