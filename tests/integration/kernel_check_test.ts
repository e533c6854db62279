/** Looking into kernel files: `kernel check`, what `run` decides and says, and the memory of it between runs. */
import { gzipSync } from "node:zlib";
import type { KernelContents } from "../../src/arch/mod.ts";
import { forgetKernels, kernelContents } from "../../src/machine/kernel_knowledge.ts";
import { inspectContents } from "../../src/machine/kernel_image.ts";
import { assert, assertEquals, assertMatch } from "../../src/std/assert.ts";
import { findKernel, findStockKernel } from "../../src/guest/mod.ts";
import { buildTinyGuest } from "../guest/build.ts";
import { runCli } from "../support/cli_process.ts";
import { banner, bzImage, elfKernel, imageOf } from "../support/kernel_files.ts";
import { joined } from "../support/decompress_cases.ts";

const MIB = 2 ** 20;
const ACPI_TEXTS = [
  banner("6.1.0-test"),
  "RSD PTR \0",
  "%s: version magic '%s' should be '%s'\n\0",
  "serial8250\0",
];
const WORD_TEXTS = [banner("6.12.9", "#1 PREEMPT"), "virtio-mmio\0", "virtio_mmio.device\0"];

/** A directory of one test: kernels in it, and the cache of the processes it starts. */
class Place implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "dinovisor-test-" });
  readonly env = { DINOVISOR_CACHE: `${this.path}/cache` };

  file(name: string, bytes: Uint8Array): string {
    const path = `${this.path}/${name}`;
    Deno.writeFileSync(path, bytes);
    return path;
  }

  /** Paths of the answers kept. */
  kept(): string[] {
    try {
      return [...Deno.readDirSync(`${this.env.DINOVISOR_CACHE}/kernels`)]
        .map(({ name }) => `${this.env.DINOVISOR_CACHE}/kernels/${name}`);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** As the kernel's build makes it: compressed vmlinux, its size behind it. */
function packedKernel(texts: readonly string[]): Uint8Array<ArrayBuffer> {
  const payload = gzipSync(elfKernel(imageOf(texts, 2 * MIB)));
  return bzImage(joined(payload, Uint8Array.of(0, 0, 0x20, 0)));
}

function word(report: string, name: string): string {
  const line = report.split("\n").find((line) => line.startsWith(name));
  return line?.slice(name.length).trim() ?? "";
}

Deno.test("kernel check looks into a bzImage", async () => {
  using place = new Place();
  const path = place.file("vmlinuz", packedKernel(ACPI_TEXTS));
  const { code, stdout, stderr } = await runCli(["kernel", "check", path], place);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(word(stdout, "kernel"), "Linux 6.1.0-test");
  assertEquals(word(stdout, "built in"), "8250 serial port");
  assertMatch(word(stdout, "by acpi"), /^yes: /);
  assertMatch(word(stdout, "auto picks"), /^acpi: /);
  assertMatch(stdout, /^hint: its virtio drivers are modules/m);
});

Deno.test("kernel check of a directory says what to name instead", async () => {
  using place = new Place();
  const { code, stderr } = await runCli(["kernel", "check", place.path], place);
  assertEquals(code, 125);
  assertMatch(stderr, /^error: .*: it is a directory \[KERNEL_IS_DIRECTORY\]$/m);
  assertMatch(stderr, /^hint: name the kernel in it/m);
});

Deno.test("kernel check --json is one object with all of it", async () => {
  using place = new Place();
  const path = place.file("vmlinux", elfKernel(imageOf(WORD_TEXTS)));
  const { code, stdout } = await runCli(["kernel", "check", "--json", path], place);
  const { contents, discovery, auto, hints, format } = JSON.parse(stdout);
  assertEquals([code, format, JSON.parse(stdout).path], [0, "elf64", path]);
  const features = ["virtio_mmio", "virtio_mmio-cmdline"];
  assertEquals(contents, { kind: "linux", version: "6.12.9", features });
  assertEquals(auto.method, "cmdline");
  assertEquals(discovery.map(({ method, works }: Record<string, string>) => [method, works]), [
    ["acpi", "no"],
    ["cmdline", "yes"],
    ["fdt", "no"],
  ]);
  assert(hints.length > 0);
});

Deno.test("kernel check says what it cannot look into, and why", async () => {
  using place = new Place();
  const lzo = Uint8Array.of(0x89, 0x4c, 0x5a, 0x4f, 0, 0x0d, 0x0a, 0x1a, 0x0a);
  const path = place.file("vmlinuz", bzImage(lzo));
  const { code, stdout } = await runCli(["kernel", "check", path], place);
  assertEquals(code, 0);
  assertMatch(word(stdout, "kernel"), /^cannot be looked into: cannot unpack lzo data/);
  assertMatch(word(stdout, "auto picks"), /^cmdline: /);
});

Deno.test("kernel check of the tiny guest: no Linux, and nothing is kept", async () => {
  using place = new Place();
  const { code, stdout } = await runCli(["kernel", "check", await buildTinyGuest()], place);
  assertEquals([code, word(stdout, "kernel")], [0, "not Linux: its image tells nothing"]);
  assertEquals(place.kept(), []);
});

Deno.test("kernel check of what is no kernel fails", async () => {
  using place = new Place();
  const path = place.file("disk.img", new Uint8Array(MIB));
  const { code, stdout, stderr } = await runCli(["kernel", "check", path], place);
  assertEquals([code, stdout], [125, ""]);
  assertMatch(stderr, /\[KERNEL_FORMAT\]/);
});

const ours = await findKernel();
if (ours === undefined) console.log("ignored: the default guest is not built");
Deno.test({
  name: "kernel check of the default guest: words or a device tree, all drivers built in",
  ignore: ours === undefined,
  fn: async () => {
    using place = new Place();
    const { stdout } = await runCli(["kernel", "check", ours ?? ""], place);
    assertMatch(word(stdout, "kernel"), /^Linux 6\..*-dinovisor$/);
    assertMatch(word(stdout, "auto picks"), /^cmdline: /);
    assertMatch(word(stdout, "by fdt"), /^yes: /);
    assertMatch(word(stdout, "by acpi"), /^no: /);
    assertMatch(word(stdout, "built in"), /virtio_mmio, virtio_blk, virtio_net, virtio_console/);
    assertEquals(word(stdout, "not there"), "");
    assertEquals(place.kept().length, 1);
  },
});

for (const suite of ["bookworm", "trixie", "sid"] as const) {
  const stock = await findStockKernel(suite);
  if (stock === undefined) console.log(`ignored: Debian ${suite}'s kernel is not downloaded`);
  Deno.test({
    name: `kernel check of Debian ${suite}'s cloud kernel: ACPI, virtio_mmio as a module`,
    ignore: stock === undefined,
    fn: async () => {
      using place = new Place();
      const { code, stdout } = await runCli(["kernel", "check", stock?.kernel ?? ""], place);
      assertEquals(code, 0);
      assertMatch(word(stdout, "kernel"), /^Linux \d+\..*-cloud-amd64$/);
      assertMatch(word(stdout, "auto picks"), /^acpi: /);
      assertMatch(word(stdout, "only as modules"), /^virtio_mmio, virtio_blk, virtio_net/);
      assertEquals(place.kept().length, 1);
    },
  });
}

interface Plan {
  readonly discovery: string;
  readonly discoveryReason: string;
  readonly cmdline: string;
}

async function planOf(
  place: Place,
  kernel: string,
  ...args: readonly string[]
): Promise<{ plan: Plan; stderr: string }> {
  const command = ["run", "-k", kernel, "-m", "64", "--dry-run", ...args];
  const { code, stdout, stderr } = await runCli(command, place);
  assertEquals(code, 0, stderr);
  return { plan: JSON.parse(stdout), stderr };
}

Deno.test("run takes the way the kernel understands, and names devices in no other", async () => {
  using place = new Place();
  const acpi = await planOf(place, place.file("acpi", packedKernel(ACPI_TEXTS)));
  assertEquals([acpi.plan.discovery, acpi.stderr], ["acpi", ""]);
  assert(!acpi.plan.cmdline.includes("virtio_mmio"), acpi.plan.cmdline);
  assert(acpi.plan.discoveryReason.length > 0);
  const words = await planOf(place, place.file("words", elfKernel(imageOf(WORD_TEXTS))));
  assertEquals([words.plan.discovery, words.stderr], ["cmdline", ""]);
  assert(words.plan.cmdline.includes("virtio_mmio.device="), words.plan.cmdline);
});

Deno.test("run counts acpi=off on its command line, and warns in one line", async () => {
  using place = new Place();
  const kernel = place.file("vmlinuz", packedKernel(ACPI_TEXTS));
  const off = ["--cmdline", "acpi=off"];
  const { plan, stderr } = await planOf(place, kernel, ...off);
  assertEquals(plan.discovery, "cmdline");
  assertMatch(
    stderr,
    /^warning: this kernel will not find its devices \(.*acpi=off.*\); leave acpi=off .*\n$/,
  );
  assertEquals((await planOf(place, kernel, ...off, "--quiet")).stderr, "");
  assertEquals((await planOf(place, kernel, ...off, "--json")).stderr, "");
});

Deno.test("what the user asks for stands, with a warning where it cannot work", async () => {
  using place = new Place();
  const kernel = place.file("vmlinuz", packedKernel(ACPI_TEXTS));
  const fdt = await planOf(place, kernel, "--discovery", "fdt");
  assertEquals([fdt.plan.discovery, fdt.plan.discoveryReason], ["fdt", "asked for"]);
  assertMatch(fdt.stderr, /^warning: .*by fdt: it takes no device tree.*use --discovery acpi\n$/);
  const acpi = await planOf(place, kernel, "--discovery", "acpi");
  assertEquals([acpi.plan.discovery, acpi.stderr], ["acpi", ""]);
  // It may work: a module could take the words.
  const words = await planOf(place, kernel, "--discovery", "cmdline");
  assertEquals([words.plan.discovery, words.stderr], ["cmdline", ""]);
});

Deno.test("a test kernel gets its devices by command line, and no warning", async () => {
  using place = new Place();
  const { plan, stderr } = await planOf(place, await buildTinyGuest());
  assertEquals([plan.discovery, stderr], ["cmdline", ""]);
});

/** Runs `work` with this process's cache in `place`. */
function withCache(directory: string, work: () => void): void {
  const before = Deno.env.get("DINOVISOR_CACHE");
  Deno.env.set("DINOVISOR_CACHE", directory);
  forgetKernels();
  try {
    work();
  } finally {
    if (before === undefined) Deno.env.delete("DINOVISOR_CACHE");
    else Deno.env.set("DINOVISOR_CACHE", before);
    forgetKernels();
  }
}

function linux(version: string): KernelContents {
  return { kind: "linux", version, features: ["smp"] };
}

function bigKernel(version: string): Uint8Array<ArrayBuffer> {
  return elfKernel(imageOf([banner(version)], 2 * MIB));
}

Deno.test("a kernel looked into once is known to later processes until it changes", () => {
  using place = new Place();
  const path = place.file("vmlinux", bigKernel("6.1.1"));
  withCache(place.env.DINOVISOR_CACHE, () => {
    assertEquals(kernelContents(path), linux("6.1.1"));
    const [entry = "", ...more] = place.kept();
    assertEquals(more, []);
    // What is kept is used: here by its being wrong.
    Deno.writeTextFileSync(entry, Deno.readTextFileSync(entry).replace("6.1.1", "6.9.9"));
    assertEquals(kernelContents(path), linux("6.1.1"), "known in this process");
    forgetKernels();
    assertEquals(kernelContents(path), linux("6.9.9"));
    // By another name it is the same file.
    Deno.symlinkSync(path, `${place.path}/link`);
    forgetKernels();
    assertEquals(kernelContents(`${place.path}/link`), linux("6.9.9"));
    Deno.utimeSync(path, new Date(), new Date(2026, 0, 1));
    assertEquals(kernelContents(path), linux("6.1.1"), "another time of change");
    forgetKernels();
    assertEquals(kernelContents(path), linux("6.1.1"), "which is what is known from then on");
  });
});

Deno.test("a kernel replaced by one of another size is looked into again", () => {
  using place = new Place();
  const when = new Date(2026, 0, 1);
  const path = place.file("vmlinux", bigKernel("6.1.1"));
  Deno.utimeSync(path, when, when);
  withCache(place.env.DINOVISOR_CACHE, () => {
    assertEquals(kernelContents(path), linux("6.1.1"));
    Deno.writeFileSync(path, joined(bigKernel("6.1.2"), Uint8Array.of(0)));
    Deno.utimeSync(path, when, when);
    assertEquals(kernelContents(path), linux("6.1.2"));
  });
});

Deno.test("an answer that is damaged, old, or about another kernel is not used", () => {
  using place = new Place();
  const path = place.file("vmlinux", bigKernel("6.1.1"));
  withCache(place.env.DINOVISOR_CACHE, () => {
    kernelContents(path);
    const [entry = ""] = place.kept();
    const good = Deno.readTextFileSync(entry).replace("6.1.1", "6.9.9");
    const wrong: readonly (readonly [why: string, text: string])[] = [
      ["empty", ""],
      ["half", good.slice(0, good.length / 2)],
      ["null", "null"],
      ["no contents", good.replace(/"contents":.*}/, '"contents":null}')],
      ["another shape", good.replace('["smp"]', '"smp"')],
      ["another kind", good.replace('"linux"', '"closed"')],
      ["another scanner", good.replace(/"scanner":\d+/, '"scanner":0')],
      ["another file", good.replace(/"file":"\d+:/, '"file":"0:')],
    ];
    for (const [why, text] of wrong) {
      assert(text !== good, why);
      Deno.writeTextFileSync(entry, text);
      forgetKernels();
      assertEquals(kernelContents(path), linux("6.1.1"), why);
    }
  });
});

Deno.test("without a cache that can be written the answer is the same", () => {
  using place = new Place();
  const path = place.file("vmlinux", bigKernel("6.1.1"));
  withCache("/proc/dinovisor", () => assertEquals(kernelContents(path), linux("6.1.1")));
});

Deno.test("what could not be looked into is tried again", () => {
  using place = new Place();
  withCache(place.env.DINOVISOR_CACHE, () => {
    const file = bzImage(joined(Uint8Array.of(0x89, 0x4c, 0x5a, 0x4f), new Uint8Array(MIB)));
    assertEquals(kernelContents(place.file("vmlinuz", file)).kind, "closed");
    assertEquals(place.kept(), []);
    assertEquals(kernelContents(`${place.path}/nothing`).kind, "closed");
  });
});

Deno.test("big and small images are searched alike, to their last byte", () => {
  using place = new Place();
  for (const size of [0, MIB - 1, MIB, 3 * MIB]) {
    const image = imageOf(
      ["Linux version \0", banner("6.1.0"), "virtio_blk\0", "LNRO0005\0"],
      size,
    );
    const path = place.file("vmlinux", elfKernel(image, imageOf(["virtio_net\0"])));
    assertEquals(inspectContents(path), {
      kind: "linux",
      version: "6.1.0",
      features: ["smp", "virtio_mmio-acpi", "virtio_blk"],
    }, `${size} bytes`);
  }
});
