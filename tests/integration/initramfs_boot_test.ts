/** Our initramfs program, booted with the default guest's kernel; and how that guest's init ends a machine. */
import { gzipSync } from "node:zlib";
import { FREESTANDING_FLAGS } from "../../src/guest/freestanding.ts";
import { CpioArchive } from "../../src/guest/initramfs/cpio.ts";
import {
  buildInitramfs,
  compileInitramfsProgram,
  type InitramfsRequest,
} from "../../src/guest/initramfs/mod.ts";
import { ensureKernel, ensureRootImage, execWord } from "../../src/guest/mod.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../../src/std/assert.ts";
import { CliProcess, type CliResult, runCli } from "../support/cli_process.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { kernelModule } from "../support/kernel_module.ts";
import { linuxTest } from "../support/kvm.ts";

const BOOT_MS = 150_000;
const MIB = 2 ** 20;
const PROGRESS = { progress: { stage() {}, fraction() {} } };

/** A first program that says how it was started, then ends: the kernel panics, which ends the machine. */
const USERS_INIT = `
#include "freestanding.h"

__attribute__((noreturn, used)) static void start(long *stack)
{
	const char *name = (const char *)stack[1];
	int left = call(__NR_access, (long)"/dinovisor/modules/order", 0, 0, 0, 0) == 0;
	int mounted = call(__NR_access, (long)"/proc/version", 0, 0, 0, 0) == 0;

	call(__NR_write, 1, (long)"user's init: ", 13, 0, 0);
	call(__NR_write, 1, (long)name, length(name), 0, 0);
	call(__NR_write, 1, (long)(left ? " left" : " gone"), 5, 0, 0);
	call(__NR_write, 1, (long)(mounted ? " proc\\n" : " bare\\n"), 6, 0, 0);
	for (;;)
		call(__NR_exit, 7, 0, 0, 0, 0);
}
`;

async function run(command: readonly string[], cwd: string): Promise<void> {
  const [program = "", ...args] = command;
  const { success, stderr } = await new Deno.Command(program, { args, cwd }).output();
  assertEquals(success, true, new TextDecoder().decode(stderr));
}

/** Boots the default guest's kernel with `initrd` and a copy of the default root as its only disk. */
async function boot(
  directory: DiskDirectory,
  initrd: string,
  words: string,
): Promise<CliResult> {
  const [kernel, root] = [await ensureKernel(PROGRESS), await ensureRootImage(PROGRESS)];
  const disk = `${directory.path}/root.img`;
  Deno.copyFileSync(root.path, disk);
  Deno.chmodSync(disk, 0o600);
  return await runCli([
    ...["run", "--kernel", kernel.path, "--initrd", initrd, "--disk", disk],
    ...["--console", "serial", "--cmdline", `quiet ${words}`],
  ], { limitMs: BOOT_MS });
}

/** Writes an initramfs. */
async function initramfs(
  directory: DiskDirectory,
  options: Omit<InitramfsRequest, "program"> = {},
): Promise<{ readonly path: string; readonly words: string }> {
  const program = await compileInitramfsProgram(PROGRESS);
  const { bytes, words } = await buildInitramfs({ program, ...options });
  const path = `${directory.path}/initramfs`;
  Deno.writeFileSync(path, bytes);
  return { path, words };
}

for (const [first, last] of [["rw", "ro"], ["ro", "rw"]] as const) {
  linuxTest(
    `an initramfs mounts the last root=, ${last} if that is said last, and starts init`,
    async () => {
      using directory = new DiskDirectory();
      const { path } = await initramfs(directory);
      const script = "head -n 4 /proc/mounts; cat /proc/1/cmdline; ls /dinovisor 2>&1; exit 5";
      const words = `root=/dev/vdx ${first} root=/dev/vda ${last} ${execWord(script)}`;
      const { code, stdout } = await boot(directory, path, words);
      // The kernel itself would call it /dev/root.
      assertMatch(stdout, new RegExp(`^/dev/vda / ext[24] ${last},`, "m"));
      assertMatch(stdout, /^devtmpfs \/dev devtmpfs/m);
      assertStringIncludes(stdout, "/sbin/init\0");
      assertMatch(stdout, /ls: \/dinovisor: No such file/);
      assertEquals(code, 5, stdout);
    },
  );
}

linuxTest(
  "a module that fails stops nothing; a root that is not there ends it, with the disks' names",
  async () => {
    using directory = new DiskDirectory();
    const moduleFolder = `${directory.path}/modules`;
    Deno.mkdirSync(`${moduleFolder}/kernel`, { recursive: true });
    Deno.writeFileSync(`${moduleFolder}/kernel/one.ko`, kernelModule(["depends=two"]));
    Deno.writeFileSync(`${moduleFolder}/kernel/two.ko`, kernelModule([]));
    const { path } = await initramfs(directory, { moduleFolder, modules: ["one"] });
    const { code, stdout, stderr } = await boot(directory, path, "root=/dev/vdx");
    // This kernel takes no modules: ENOSYS.
    const said = [
      "cannot load module two: error 38",
      "cannot load module one: error 38",
      "root=/dev/vdx has not appeared; block devices: vda",
    ];
    assertStringIncludes(
      stdout.replaceAll("\r\n", "\n"),
      said.map((text) => `dinovisor init: ${text}\n`).join(""),
    );
    assertEquals(code, 255);
    assertStringIncludes(stderr, "[GUEST_PANIC]");
  },
);

linuxTest(
  "behind a compressed initrd with an /init of its own, that is started, with nothing mounted",
  async () => {
    using directory = new DiskDirectory();
    const { path: folder } = directory;
    const header = new URL("../../src/guest/rootfs/freestanding.h", import.meta.url);
    Deno.copyFileSync(header, `${folder}/freestanding.h`);
    Deno.writeTextFileSync(`${folder}/user.c`, USERS_INIT);
    await run(["gcc", ...FREESTANDING_FLAGS, "-o", "user", "user.c"], folder);
    const users = new CpioArchive();
    users.directory("proc");
    users.file("init", Deno.readFileSync(`${folder}/user`), 0o755);
    Deno.writeFileSync(`${folder}/initrd`, gzipSync(users.finish()));
    const { path, words } = await initramfs(directory, { appendTo: `${folder}/initrd` });
    const { code, stdout, stderr } = await boot(directory, path, `${words} root=/dev/vda`);
    assertMatch(stdout, /^user's init: \/init gone bare\r?$/m);
    assertEquals(code, 255);
    assertStringIncludes(stderr, "exitcode=0x00000700");
  },
);

linuxTest("poweroff ends what runs and unmounts disks before the machine goes off", async () => {
  using directory = new DiskDirectory();
  const disk = directory.empty("disk.img", 4 * MIB);
  await run(["mke2fs", "-q", "-F", "-t", "ext2", disk], directory.path);
  // The first process is ended by the signal and writes; the second minds no signal but the last.
  const script = [
    "mkdir '/tmp/a b'",
    "mount /dev/vdb '/tmp/a b'",
    "cd '/tmp/a b'",
    "(trap 'echo ended > word; exit' TERM HUP; while :; do sleep 1; done) &",
    "(trap '' TERM HUP; exec 3> held; while :; do sleep 1; done) &",
    "cd /",
    "sleep 1",
    "poweroff",
    "sleep 1000",
  ].join("\n");
  await using cli = CliProcess.spawn(["run", "--disk", disk], { stdin: "open", limitMs: BOOT_MS });
  await cli.waitFor("~ # ", { ms: BOOT_MS });
  await cli.write(`${script}\n`);
  const { code, stdout } = await cli.ended;
  assertEquals(code, 0, stdout);
  const { stdout: state } = await new Deno.Command("dumpe2fs", { args: ["-h", disk] }).output();
  assertMatch(new TextDecoder().decode(state), /Filesystem state: +clean\n/);
  const { stdout: word } = await new Deno.Command("debugfs", { args: ["-R", "cat /word", disk] })
    .output();
  assertEquals(new TextDecoder().decode(word), "ended\n");
});

linuxTest(
  "reboot without force restarts; the command that asked for it has no status",
  async () => {
    using directory = new DiskDirectory();
    const report = `${directory.path}/report.json`;
    const script = "reboot; sleep 1000";
    const { code, stderr } = await runCli(["run", "--report", report, "--", "sh", "-c", script], {
      limitMs: BOOT_MS,
    });
    assertEquals(JSON.parse(Deno.readTextFileSync(report)).reason, "reboot", stderr);
    assertEquals(code, 255);
  },
);
