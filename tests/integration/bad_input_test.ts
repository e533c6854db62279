/** What people get wrong: each is refused with status 125, a reason and a hint, and nothing on disk has changed. */
import { assert, assertEquals, assertMatch } from "../../src/std/assert.ts";
import { buildTinyGuest } from "../guest/build.ts";
import { runCli } from "../support/cli_process.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { kvmTest } from "../support/kvm.ts";
import { mountRefusal } from "../support/mounted.ts";

const MIB = 2 ** 20;
/** A file nobody may write, not even root: sysfs checks the mode itself. Its size is a page. */
const READ_ONLY_FILE = "/sys/kernel/uevent_seqnum";

interface Mistake {
  readonly name: string;
  /** The arguments; `directory` is empty and the test's own. `-k KERNEL` is added unless they name one. */
  readonly args: (directory: DiskDirectory) => readonly string[] | Promise<readonly string[]>;
  readonly env?: Readonly<Record<string, string>>;
  /** What stderr is to say: `error: …` lines in order. */
  readonly errors: readonly RegExp[];
  readonly hint?: RegExp;
}

function file(directory: DiskDirectory, name: string, content: string | Uint8Array): string {
  const path = `${directory.path}/${name}`;
  if (typeof content === "string") Deno.writeTextFileSync(path, content);
  else Deno.writeFileSync(path, content);
  return path;
}

function linked(directory: DiskDirectory, link: (from: string, to: string) => void): string[] {
  const disk = directory.empty("disk.img", MIB), other = `${directory.path}/other.img`;
  link(disk, other);
  return ["--disk", disk, "--disk", other];
}

const MISTAKES: readonly Mistake[] = [
  {
    name: "a kernel that is not there",
    args: ({ path }) => ["-k", `${path}/vmlinux`],
    errors: [/^cannot find kernel ".*\/vmlinux" \[KERNEL_NOT_FOUND\]$/],
    hint: /leave --kernel out/,
  },
  {
    name: "a kernel that is a directory",
    args: ({ path }) => ["-k", path],
    errors: [/: it is a directory \[KERNEL_IS_DIRECTORY\]$/],
    hint: /name the kernel in it/,
  },
  {
    name: "a text file as kernel",
    args: (directory) => ["-k", file(directory, "notes.txt", "This is a text.\n".repeat(100))],
    errors: [/notes\.txt.* is not a kernel: it is .*text.*\[KERNEL_FORMAT\]$/],
  },
  {
    name: "an ELF that is cut off",
    args: async (directory) => {
      const whole = Deno.readFileSync(await buildTinyGuest());
      return ["-k", file(directory, "cut.elf", whole.subarray(0, whole.length >> 1))];
    },
    errors: [/cut\.elf.*\[KERNEL_TRUNCATED\]$/],
  },
  {
    name: "an initrd that is larger than memory",
    args: (directory) => ["-m", "32", "--initrd", directory.empty("initrd", 40 * MIB)],
    errors: [/^cannot load initrd ".*" of 40 MiB into 32 MiB of memory \[INITRD_TOO_BIG\]$/],
    hint: /--mem \d+M/,
  },
  {
    name: "an initrd that fits into memory, but not beside the kernel",
    args: (directory) => ["-m", "32", "--initrd", directory.empty("initrd", 31 * MIB)],
    errors: [/^initrd .* does not fit .*\[INITRD_TOO_BIG\]$/],
    hint: /--mem \d+M/,
  },
  {
    name: "an initrd that is a directory",
    args: ({ path }) => ["--initrd", path],
    errors: [/^cannot load initrd ".*": it is a directory \[INITRD_IS_DIRECTORY\]$/],
    hint: /--rootfs ".*"/,
  },
  {
    name: "an initrd that is not there",
    args: ({ path }) => ["--initrd", `${path}/initrd`],
    errors: [/^cannot find initrd ".*" \[INITRD_NOT_FOUND\]$/],
  },
  {
    name: "1 MiB of memory",
    args: () => ["-m", "1M"],
    errors: [/^cannot use --mem "1M": 2M to 1024G are possible \[MEM_INVALID\]$/],
  },
  {
    name: "no vCPUs",
    args: () => ["-c", "0"],
    errors: [/^cannot use --cpus 0: 1 to 32 are possible \[CPUS_INVALID\]$/],
  },
  {
    name: "a disk that is not there, which is not made either",
    args: ({ path }) => ["--disk", `${path}/disk.img`],
    errors: [/^cannot find disk ".*" \[DISK_NOT_FOUND\]$/],
    hint: /truncate -s 1G/,
  },
  {
    name: "a disk that is a directory",
    args: ({ path }) => ["--disk", path],
    errors: [/: it is a directory \[DISK_IS_DIRECTORY\]$/],
    hint: /mke2fs/,
  },
  {
    name: "a disk that is a device of another kind",
    args: () => ["--disk", "/dev/null"],
    errors: [/neither a file nor a block device \[DISK_KIND\]$/],
  },
  {
    name: "a disk whose size is not a multiple of 512",
    args: (directory) => ["--disk", directory.empty("odd.img", MIB + 100)],
    errors: [/its size of 1048676 bytes is not a multiple of 512 \[DISK_SIZE\]$/],
    hint: /truncate -s 2M/,
  },
  {
    name: "an empty disk",
    args: (directory) => ["--disk", directory.empty("none.img", 0)],
    errors: [/it is empty \[DISK_SIZE\]$/],
  },
  {
    name: "a disk that may not be written, without ro",
    args: () => ["--disk", READ_ONLY_FILE],
    errors: [/^cannot write disk ".*": .* \[DISK_WRITE_PROTECTED\]$/],
    hint: /,ro/,
  },
  {
    name: "a disk id that is too long",
    args: (directory) => ["--disk", `${directory.empty("disk.img", MIB)},id=${"x".repeat(21)}`],
    errors: [/\[DISK_ID\]$/],
  },
  {
    name: "a disk with more queues than there can be processors",
    args: (directory) => ["--disk", `${directory.empty("disk.img", MIB)},queues=33`],
    errors: [/33 queues: it must be 1 to 32 \[DISK_QUEUES\]$/],
    hint: /leave queues= out/,
  },
  {
    name: "a disk with a word we do not know",
    args: (directory) => ["--disk", `${directory.empty("disk.img", MIB)},readonly`],
    errors: [/"readonly" is not one of ro, direct, overlay, id=ID, queues=N \[DISK_INVALID\]$/],
  },
  {
    name: "the same disk twice, writable",
    args: (directory) => {
      const disk = directory.empty("disk.img", MIB);
      return ["--disk", disk, "--disk", `${disk},ro`];
    },
    errors: [/disk\.img" .*\[[A-Z_]+\]$/],
  },
  {
    name: "the same disk twice, once through a symbolic link",
    args: (directory) => linked(directory, Deno.symlinkSync),
    errors: [/disk\.img" .*other\.img".*\[[A-Z_]+\]$|other\.img" .*disk\.img".*\[[A-Z_]+\]$/],
  },
  {
    name: "the same disk twice, once through a hard link",
    args: (directory) => linked(directory, Deno.linkSync),
    errors: [/disk\.img" .*other\.img".*\[[A-Z_]+\]$|other\.img" .*disk\.img".*\[[A-Z_]+\]$/],
  },
  {
    name: "40 disks",
    args: (directory) =>
      Array.from({ length: 40 }, (_, i) => ["--disk", directory.empty(`d${i}`, MIB)]).flat(),
    errors: [/^cannot place 41 devices: .* 32, .*\[TOO_MANY_DEVICES\]$/],
    hint: /31 at most/,
  },
  {
    name: "a flag we do not know",
    args: () => ["--memry", "64M"],
    errors: [/^unknown flag --memry \[FLAG_UNKNOWN\]$/],
    hint: /did you mean --mem/,
  },
  {
    name: "a console file in a directory that is not there",
    args: ({ path }) => ["--console", `file=${path}/no/console.log`],
    errors: [/\[CONSOLE_FILE\]$/],
  },
  {
    name: "a report in a directory that is not there",
    args: ({ path }) => ["--report", `${path}/no/report.json`],
    errors: [/\[REPORT_WRITE\]$/],
  },
  {
    name: "a KVM device that is not there",
    args: () => [],
    env: { DINOVISOR_KVM: "/dev/no-kvm" },
    errors: [/^cannot open \/dev\/no-kvm: .* \[KVM_ENOENT\]$/],
  },
  {
    name: "a KVM device that may not be opened",
    args: () => [],
    env: { DINOVISOR_KVM: READ_ONLY_FILE },
    errors: [/^cannot open \/sys\/.*: .* \[KVM_(EACCES|EROFS)\]$/],
  },
  {
    name: "a KVM device that is none",
    args: () => [],
    env: { DINOVISOR_KVM: "/dev/null" },
    errors: [/\[KVM_[A-Z]+\]$/],
  },
  {
    name: "several things at once",
    args: ({ path }) => ["-m", "1M", "-c", "0", "--disk", path, "--disk", `${path}/x`, "--foo"],
    errors: [
      /--foo \[FLAG_UNKNOWN\]$/,
      /\[MEM_INVALID\]$/,
      /\[CPUS_INVALID\]$/,
      /\[DISK_IS_DIRECTORY\]$/,
      /\[DISK_NOT_FOUND\]$/,
    ],
  },
];

/** Names, sizes and times of everything in a directory: what a side effect would change. */
function inventory(path: string): string[] {
  return [...Deno.readDirSync(path)].map(({ name }) => {
    const { size, mtime, blocks } = Deno.lstatSync(`${path}/${name}`);
    return `${name} ${size} ${mtime?.getTime()} ${blocks}`;
  }).sort();
}

for (const { name, args, env, errors, hint } of MISTAKES) {
  kvmTest(`refused, with nothing changed: ${name}`, async () => {
    using directory = new DiskDirectory();
    const given = await args(directory);
    const before = inventory(directory.path);
    const kernel = given.includes("-k") ? [] : ["-k", await buildTinyGuest()];
    const words = ["run", ...kernel, "--cmdline", "test=serial", ...given];
    const { code, stdout, stderr } = await runCli(words, env === undefined ? {} : { env });
    assertEquals({ code, stdout }, { code: 125, stdout: "" }, stderr);
    const said = stderr.split("\n").filter((line) => line.startsWith("error: "));
    assertEquals(said.length, errors.length, stderr);
    errors.forEach((error, i) => assertMatch((said[i] ?? "").slice("error: ".length), error));
    if (hint !== undefined) assertMatch(stderr.replace(/^error: .*$/gm, ""), hint);
    assert(!/^\s+at /m.test(stderr), `a stack trace:\n${stderr}`);
    assertEquals(inventory(directory.path), before);
  });
}

kvmTest("with --json, all that is wrong is one object on stderr", async () => {
  using directory = new DiskDirectory();
  const path = `${directory.path}/none`;
  const { code, stdout, stderr } = await runCli([
    ...["run", "-k", path, "--disk", directory.path, "--json"],
  ]);
  assertEquals({ code, stdout }, { code: 125, stdout: "" });
  const { errors } = JSON.parse(stderr);
  assertEquals(errors.map((error: { code: string }) => error.code), [
    "KERNEL_NOT_FOUND",
    "DISK_IS_DIRECTORY",
  ]);
  for (const error of errors) {
    assertEquals(typeof error.hint, "string");
    assertMatch(error.field, /^--/);
  }
});

kvmTest("a mistake still leaves a report", async () => {
  using directory = new DiskDirectory();
  const path = `${directory.path}/report.json`;
  const { code } = await runCli(["run", "-k", "/nonexistent", "--report", path]);
  const report = JSON.parse(Deno.readTextFileSync(path));
  assertEquals(code, 125);
  assertEquals([report.reason, report.code, report.errors.length], ["error", 125, 1]);
});

Deno.test("where there is no KVM nobody waits for a guest to be built", async () => {
  using directory = new DiskDirectory();
  for (const words of [["run"], ["run", "--", "true"], ["run", "--rootfs", "/etc", "--", "true"]]) {
    const { code, stderr } = await runCli(words, {
      env: { DINOVISOR_KVM: "/dev/no-kvm", DINOVISOR_CACHE: directory.path },
    });
    assertEquals(code, 125);
    assertMatch(stderr, /^error: cannot open \/dev\/no-kvm: .* \[KVM_ENOENT\]\nhint: /);
    assertEquals(inventory(directory.path), []);
  }
});

/** Vm.boot knows no other device: another one is laid over it, in a mount namespace of the child's own. */
const WITHOUT_KVM = ["unshare", "-m", "sh", "-c"];
const COVERED = `if [ -e /dev/kvm ]; then mount --bind /dev/null /dev/kvm || exit; fi; exec "$@"`;

const unmountable = mountRefusal("tmpfs");
if (unmountable !== undefined) console.log(`ignored: ${unmountable}`);

Deno.test({
  name: "nor does a script that boots one, or one with a root of its own",
  ignore: unmountable !== undefined,
  async fn() {
    using directory = new DiskDirectory();
    const library = new URL("../../src/mod.ts", import.meta.url);
    const script = `import { Vm } from "${library}";
      for (const options of [{}, { rootfs: "/etc" }]) {
        await Vm.boot(options).catch(({ name, code }) => console.log(name, code));
      }`;
    const [program = "", ...args] = [...WITHOUT_KVM, COVERED, "sh", Deno.execPath(), "eval"];
    const { stdout } = await new Deno.Command(program, {
      args: [...args, "--no-check", script],
      env: { DINOVISOR_CACHE: directory.path },
    }).output();
    assertMatch(new TextDecoder().decode(stdout), /^(VmError KVM_[A-Z]+\n){2}$/);
    assertEquals(inventory(directory.path), []);
  },
});
