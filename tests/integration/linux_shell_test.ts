/** The default guest at the command line: its shell, its commands' statuses, its consoles, its deaths. */
import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertMatch,
  assertStringIncludes,
} from "../../src/std/assert.ts";
import { CliProcess, type CliResult, runCli } from "../support/cli_process.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { HOST_KIND } from "../support/host_kind.ts";
import { linuxTest } from "../support/kvm.ts";

/** A boot takes 6 to 12 s where KVM emulates ring 0. */
const BOOT_MS = 150_000;

function boot(args: readonly string[], stdin = ""): Promise<CliResult> {
  return runCli(["run", ...args], { stdin, limitMs: BOOT_MS });
}

linuxTest(
  "commands piped into the shell print on stdout, nothing else does, and poweroff is 0",
  async () => {
    const { code, stdout, stderr } = await boot(
      [],
      "uname -a\ncat /proc/partitions\npoweroff -f\n",
    );
    assertEquals({ code, stderr }, { code: 0, stderr: "" }, stdout);
    assertMatch(stdout, /^Linux in dinovisor: /);
    assertMatch(stdout, /^Linux \S+ 6\.1\.\S+ .*x86_64 GNU\/Linux\r$/m);
    assertMatch(stdout, /^ 254 +0 +\d+ vda\r$/m);
    // Each command once: nobody but the guest's terminal echoes. In the lab commands come before the shell is there,
    // and the terminal of a stock kernel echoes them a first time.
    const echoes = stdout.split("cat /proc/partitions").length - 1;
    assert(echoes === 1 || (HOST_KIND === "nested" && echoes === 2), stdout);
    assert(!/\[ *\d+\.\d+\]/.test(stdout), `kernel messages on stdout:\n${stdout}`);
  },
);

linuxTest(
  "on the serial console the end of stdin ends the shell, and the machine with 0",
  async () => {
    const { code, stdout, stderr } = await boot(
      ["--console", "serial", "--timeout", "60s"],
      "echo $((6*7))-$(tty)\n",
    );
    assertEquals({ code, stderr }, { code: 0, stderr: "" }, stdout);
    assertStringIncludes(stdout, "42-/dev/ttyS0");
  },
);

linuxTest(
  "on hvc0 a shell runs, knows window and date, and a reboot ends the run with 0",
  async () => {
    using directory = new DiskDirectory();
    const report = `${directory.path}/report.json`;
    const { code, stdout, stderr } = await boot(
      ["--console", "virtio", "--report", report],
      "echo $((6*7))-$(tty) now=$(date +%s) size=$(stty size)\nreboot -f\n",
    );
    assertEquals({ code, stderr }, { code: 0, stderr: "" }, stdout);
    assertStringIncludes(stdout, "42-/dev/hvc0");
    assertStringIncludes(stdout, "size=24 80");
    const guestNow = Number(/now=(\d+)/.exec(stdout)?.[1]);
    assertLessOrEqual(Math.abs(Date.now() / 1000 - guestNow), 120, "seconds between the clocks");
    assertEquals(JSON.parse(Deno.readTextFileSync(report)).reason, "reboot");
  },
);

linuxTest("a command that reads stdin to its end gets all of it, and the end", async () => {
  const args = ["run", "--timeout", "60s", "--", "sh", "-c", "echo ready; wc -c"];
  await using cli = CliProcess.spawn(args, { stdin: "open", limitMs: BOOT_MS });
  await cli.waitFor("ready\n", { ms: BOOT_MS });
  await cli.write(`${"x".repeat(999)}\n`);
  await cli.closeStdin();
  const { code, stdout } = await cli.ended;
  assertEquals({ code, stdout }, { code: 0, stdout: "ready\n1000\n" });
});

linuxTest("a command's output is byte for byte on stdout, and its status ours", async () => {
  const script = `printf 'a\\n\\tb\\033\\r\\0end'; echo problem >&2; exit 3`;
  const { code, stdout, stderr } = await boot(["--", "sh", "-c", script]);
  // The guest has one console: what its commands write to stderr is there as well.
  assertEquals({ code, stdout, stderr }, {
    code: 3,
    stdout: "a\n\tb\x1b\r\0endproblem\n",
    stderr: "",
  });
});

linuxTest(
  "found by the device tree alone, the root is mounted; a command killed by a signal is 137",
  async () => {
    const script =
      "cat /proc/cmdline; ls -d /proc/device-tree/virtio_mmio*; grep ' / ' /proc/mounts; kill -9 $$";
    // Stock kernels take no device tree.
    const { code, stdout } = await runCli(
      ["run", "--discovery", "fdt", "--", "sh", "-c", script],
      { stdin: "", limitMs: BOOT_MS, env: { DINOVISOR_GUEST: "built" } },
    );
    assertEquals(code, 137, stdout);
    const [cmdline = "", ...rest] = stdout.split("\n");
    assert(!cmdline.includes("virtio_mmio.device"), cmdline);
    assertEquals(
      rest.filter((line) => line.startsWith("/proc/device-tree/virtio_mmio@")).length,
      2,
    );
    assertMatch(stdout, /^\/dev\/root \/ ext[24] ro/m);
  },
);

linuxTest(
  "a kernel panic is 255 also where nobody sees the console, with the kernel's words in the error",
  async () => {
    const { code, stdout, stderr } = await boot([
      "--console",
      "off",
      "--cmdline",
      "init=/bin/false",
    ]);
    assertEquals({ code, stdout }, { code: 255, stdout: "" });
    assertMatch(
      stderr,
      /^error: guest kernel panicked: Attempted to kill init! exitcode=0x00000100 \[GUEST_PANIC\]\n/,
    );
  },
);
