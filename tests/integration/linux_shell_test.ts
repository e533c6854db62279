/** The default guest at the command line: its shell, its consoles, its deaths. Commands are in command_test.ts. */
import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertMatch,
  assertStringIncludes,
} from "../../src/std/assert.ts";
import { type CliResult, runCli } from "../support/cli_process.ts";
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

linuxTest(
  "found by the device tree alone, the root is mounted, and a command runs",
  async () => {
    const script =
      "cat /proc/cmdline; ls -d /proc/device-tree/virtio_mmio*; grep ' / ' /proc/mounts; exit 9";
    // Stock kernels take no device tree.
    const { code, stdout } = await runCli(
      ["run", "--discovery", "fdt", "--", "sh", "-c", script],
      { stdin: "", limitMs: BOOT_MS, env: { DINOVISOR_GUEST: "built" } },
    );
    assertEquals(code, 9, stdout);
    const [cmdline = "", ...rest] = stdout.split("\n");
    assert(!cmdline.includes("virtio_mmio.device"), cmdline);
    assertEquals(
      rest.filter((line) => line.startsWith("/proc/device-tree/virtio_mmio@")).length,
      3, // disk, vsock, console
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
