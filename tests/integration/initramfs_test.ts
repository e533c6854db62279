/** Initramfs archives from folders of made-up modules, as Debian's cpio reads them. Needs no KVM. */
import { gzipSync, zstdCompressSync } from "node:zlib";
import { assertEquals, assertRejects, assertStringIncludes } from "../../src/std/assert.ts";
import {
  buildInitramfs,
  compileInitramfsProgram,
  InitramfsError,
  type InitramfsRequest,
} from "../../src/guest/initramfs/mod.ts";
import { runCli } from "../support/cli_process.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { kernelModule } from "../support/kernel_module.ts";

const INSTALL = "apt-get install -y --no-install-recommends cpio";
const RELEASE = "6.1.0-9-test";

const missing = await haveCpio() ? undefined : await installCpio();
if (missing !== undefined) console.log(`ignored: ${missing}`);

async function haveCpio(): Promise<boolean> {
  try {
    const cpio = new Deno.Command("cpio", { args: ["--version"], stdout: "null", stderr: "null" });
    return (await cpio.output()).success;
  } catch {
    return false;
  }
}

/** Installs cpio; the reason when that cannot be. */
async function installCpio(): Promise<string | undefined> {
  if (Deno.uid() !== 0) return `cpio is missing: sudo ${INSTALL}`;
  console.error(`cpio is missing, running: ${INSTALL}`);
  for (const words of ["apt-get update", INSTALL]) {
    const [program = "", ...args] = words.split(" ");
    const options = { args, stdin: "null", stdout: "null", stderr: "null" } as const;
    await new Deno.Command(program, options).output();
  }
  return await haveCpio() ? undefined : `cpio is missing and could not be installed: ${INSTALL}`;
}

/** What cpio says to `args` with `archive` as its input. */
async function cpio(args: readonly string[], archive: Uint8Array, cwd = "."): Promise<string> {
  const command = new Deno.Command("cpio", {
    args: ["--quiet", ...args],
    cwd,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
  await using child = command.spawn();
  const stdin = child.stdin.getWriter();
  const fed = stdin.write(archive).then(() => stdin.close()).catch(() => {}); // it may stop early
  const { success, stdout, stderr } = await child.output();
  await fed;
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assertEquals({ success, stderr: text(stderr) }, { success: true, stderr: "" });
  return text(stdout);
}

/** A module's file and strings. */
type Modules = Readonly<Record<string, readonly string[]>>;

/** A folder of modules in `place`, packed as their names say. */
function moduleFolder(place: string, modules: Modules, builtIn: readonly string[] = []): string {
  const folder = `${place}/lib/modules/${RELEASE}`;
  Deno.mkdirSync(`${folder}/kernel`, { recursive: true });
  for (const [path, strings] of Object.entries(modules)) {
    Deno.mkdirSync(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    const bytes = kernelModule([`vermagic=${RELEASE} SMP`, ...strings]);
    Deno.writeFileSync(`${folder}/${path}`, packed(path, bytes));
  }
  const lines = builtIn.map((name) => `kernel/drivers/${name}.ko\n`).join("");
  Deno.writeTextFileSync(`${folder}/modules.builtin`, lines);
  return folder;
}

function packed(path: string, bytes: Uint8Array): Uint8Array {
  if (path.endsWith(".gz")) return gzipSync(bytes);
  if (path.endsWith(".zst")) return zstdCompressSync(bytes);
  return bytes;
}

async function request(rest: Partial<InitramfsRequest>): Promise<InitramfsRequest> {
  const program = await compileInitramfsProgram({ progress: { stage() {}, fraction() {} } });
  return { program, ...rest };
}

Deno.test({
  name: "cpio lists and unpacks an initramfs: the program, the modules in order, unpacked",
  ignore: missing !== undefined,
  fn: async () => {
    using place = new DiskDirectory();
    const folder = moduleFolder(place.path, {
      "kernel/drivers/net/virtio_net.ko.zst": ["depends=virtio_ring,net-failover"],
      "kernel/drivers/net-failover.ko.gz": ["depends=", "softdep=pre: crc32c lib-crc post: extra"],
      "kernel/drivers/virtio_ring.ko": ["depends=virtio"],
      "kernel/lib/lib-crc.ko": [],
      "kernel/lib/extra.ko": [],
      "kernel/lib/never.ko": ["depends=gone"],
      "updates/dkms/extra.ko": ["license=newer"],
    }, ["virtio", "evdev"]);
    // A kernel's headers have links back, which must not be followed.
    Deno.symlinkSync(folder, `${folder}/kernel/build`);
    const made = await buildInitramfs(
      await request({
        moduleFolder: folder,
        modules: ["virtio-net", "evdev"],
        optionalModules: ["no_such", "virtio_ring"],
      }),
    );

    assertEquals({ ...made, bytes: 0 }, {
      bytes: 0,
      loadOrder: ["virtio_ring", "lib_crc", "net_failover", "extra", "virtio_net"],
      words: "",
      release: RELEASE,
    });
    assertEquals((await cpio(["-t"], made.bytes)).trim().split("\n"), [
      "dev",
      "dev/console",
      "dinovisor",
      "dinovisor/init",
      "init",
      "dinovisor/modules",
      ...made.loadOrder.map((name) => `dinovisor/modules/${name}.ko`),
      "dinovisor/modules/order",
    ]);
    const root = `${place.path}/root`;
    Deno.mkdirSync(root);
    await cpio(["-i", "--no-preserve-owner", "-f", "dev/console"], made.bytes, root);
    assertEquals(Deno.readLinkSync(`${root}/init`), "dinovisor/init");
    assertEquals((Deno.statSync(`${root}/init`).mode ?? 0) & 0o7777, 0o755);
    const inside = `${root}/dinovisor/modules`;
    assertEquals(
      Deno.readTextFileSync(`${inside}/order`),
      made.loadOrder.map((name) => `${name}\n`).join(""),
    );
    const vermagic = `vermagic=${RELEASE} SMP`;
    assertEquals(
      Deno.readFileSync(`${inside}/virtio_net.ko`),
      kernelModule([vermagic, "depends=virtio_ring,net-failover"]),
    );
    assertEquals(
      Deno.readFileSync(`${inside}/extra.ko`),
      kernelModule([vermagic, "license=newer"]),
    );
    assertStringIncludes(await cpio(["-tv"], made.bytes), "5,   1");
  },
});

Deno.test("an initramfs behind an initrd has no /init, tells the word, and is the same each time", async () => {
  using place = new DiskDirectory();
  const initrd = `${place.path}/initrd`;
  Deno.writeFileSync(initrd, new Uint8Array(4097).fill(0xee));
  const appended = await request({ appendTo: initrd });
  const { bytes, words, loadOrder } = await buildInitramfs(appended);
  assertEquals({ words, loadOrder }, { words: "rdinit=/dinovisor/init", loadOrder: [] });
  assertEquals(bytes.subarray(0, 4097), Deno.readFileSync(initrd));
  const archive = new TextDecoder("latin1").decode(bytes.subarray(4104));
  assertEquals(archive.startsWith("070701"), true);
  assertEquals(/[0-9a-f]init\0/.test(archive), false);
  assertEquals((await buildInitramfs(appended)).bytes, bytes);
});

Deno.test("what is wrong with modules is told by name", async () => {
  using place = new DiskDirectory();
  const folder = moduleFolder(place.path, {
    "kernel/needy.ko": ["depends=absent"],
    "kernel/deep.ko": ["depends=needy"],
    "kernel/one.ko": ["depends=two"],
    "kernel/two.ko": ["depends=one"],
    "kernel/good.ko": [],
    "kernel/text.ko": [],
    "kernel/packed.ko.xz": [],
    "kernel/other.ko": [],
  });
  Deno.writeTextFileSync(`${folder}/kernel/text.ko`, "not a module at all");
  Deno.writeFileSync(
    `${folder}/kernel/packed.ko.xz`,
    Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0),
  );
  Deno.writeFileSync(`${folder}/kernel/other.ko`, kernelModule(["vermagic=5.10.0-1 SMP"]));
  const cases: readonly (readonly [string[], string, RegExp])[] = [
    [["good", "Typo"], "INITRD_MODULE_UNKNOWN", /find module "Typo" in ".*6\.1\.0-9-test"/],
    [["deep"], "INITRD_MODULE_MISSING", /module "needy": it needs "absent"/],
    [["one"], "INITRD_MODULE_CYCLE", /two -> one -> two|one -> two -> one/],
    [["text"], "INITRD_MODULE_FORMAT", /"[^"]*\/kernel\/text\.ko": it is not a 64-bit/],
    [["packed"], "INITRD_MODULE_FORMAT", /"[^"]*\/kernel\/packed\.ko\.xz": .*unpack/],
    [["good", "other"], "INITRD_MODULE_FOLDER", /"good" is for 6\.1\.0-9-test, "other" for 5\.10/],
  ];
  for (const [modules, code, words] of cases) {
    const building = buildInitramfs(await request({ moduleFolder: folder, modules }));
    const error = await assertRejects(() => building, InitramfsError);
    assertEquals(
      { code: error.code, told: words.test(error.message) },
      { code, told: true },
      error.message,
    );
  }
});

Deno.test("dinovisor kernel initrd writes a file, says its words, and refuses what is no module folder", async () => {
  using place = new DiskDirectory();
  const folder = moduleFolder(place.path, {
    "kernel/virtio_blk.ko": ["depends=virtio"],
    "kernel/virtio.ko": [],
    "kernel/xfs.ko": [],
  });
  const [output, user] = [`${place.path}/out`, `${place.path}/user`];
  Deno.writeTextFileSync(user, "0707");
  const command = ["kernel", "initrd", folder, "-o", output];

  const plain = await runCli([...command, "-v", "--module", "xfs"]);
  assertEquals({ code: plain.code, stdout: plain.stdout }, { code: 0, stdout: `${output}\n` });
  assertStringIncludes(plain.stderr, "load order: xfs virtio virtio_blk\n");
  assertStringIncludes(plain.stderr, `3 modules for Linux ${RELEASE}`);
  assertEquals(Deno.readTextFileSync(output).startsWith("070701"), true);

  const behind = await runCli([...command, "--append", user, "--json"]);
  assertEquals(JSON.parse(behind.stdout), {
    path: output,
    release: RELEASE,
    words: "rdinit=/dinovisor/init",
    modules: ["virtio", "virtio_blk"],
  });
  assertEquals(Deno.readTextFileSync(output).startsWith(`0707${"\0".repeat(4)}070701`), true);

  const refused: readonly (readonly [string[], RegExp])[] = [
    [[...command, "--module", "typo"], /find module "typo".*\[INITRD_MODULE_UNKNOWN\]\nhint: /],
    [["kernel", "initrd", place.path, "-o", output], /has no folder "kernel"/],
    [["kernel", "initrd", `${folder}/..`, "-o", output], /did you mean .*\/6\.1\.0-9-test\?/],
    [["kernel", "initrd", `${place.path}/gone`, "-o", output], /it does not exist/],
    [["kernel", "initrd", user, "-o", output], /it is not a folder/],
    [["kernel", "initrd", folder], /flag --output is missing/],
    [
      ["kernel", "initrd", folder, "-o", user, "--append", user],
      /is the initrd that --append names/,
    ],
    [["kernel", "initrd", folder, "-o", `${place.path}/no/x`], /cannot write .*INITRD_WRITE/],
    [[...command, "--append", `${place.path}/gone`], /cannot read initrd .*INITRD_FILE/],
  ];
  for (const [words, told] of refused) {
    const { code, stdout, stderr } = await runCli(words);
    assertEquals(
      { code, stdout, told: told.test(stderr) },
      { code: 125, stdout: "", told: true },
      stderr,
    );
  }
  assertEquals(Deno.readTextFileSync(user), "0707");
});
