/** Every way a run ends, as the exit status, the error and the report tell it. */
import { assert, assertEquals, assertLessOrEqual, assertMatch } from "../../src/std/assert.ts";
import { CliProcess, runTinyCli, tinyArgs } from "../support/cli_process.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { kvmTest, SLOWNESS } from "../support/kvm.ts";

/** Where the platform page's exit word is (contract.md, "Test guests"). */
const EXIT_WORD = "0xd0000000";
/** A hypervisor without hardware ring 0 meets an instruction it cannot emulate; elsewhere the guest just runs it. */
const NEEDS_EMULATION = Deno.readTextFileSync("/proc/cpuinfo").match(/^flags\s*:.*\b(vmx|svm)\b/m)
  ? "this host runs guest ring 0 in hardware: there is no instruction it cannot run"
  : undefined;

/** A triple fault is a death, said like this. */
const TRIPLE_FAULT_DEATH = {
  code: 255,
  reason: "triple-fault",
  error: /^error: guest died of a triple fault: .*\[GUEST_TRIPLE_FAULT\]\n/,
};
/** After a shutdown the VMCB is undefined, so kvm_amd has reset the vCPU before anyone can look at its IDT. */
const HIDES_THE_IDT = isDirectory("/sys/module/kvm_amd");

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

interface Ending {
  readonly name: string;
  readonly words: string;
  readonly args?: readonly string[];
  readonly code: number;
  readonly reason: string;
  readonly status?: number;
  readonly error?: RegExp;
  readonly ignore?: string | undefined;
}

const ENDINGS: readonly Ending[] = [
  { name: "the exit port ends it with 0", words: "test=idle", code: 0, reason: "exit-register" },
  ...[1, 7, 77, 255].map((status) => ({
    name: `the exit port ends it with ${status}`,
    words: `test=idle status=${status}`,
    code: status,
    reason: "exit-register",
    status,
  })),
  {
    name: "the exit word of the platform page ends it, too",
    words: `test=idle status=41 exit=mmio@${EXIT_WORD}`,
    code: 41,
    reason: "exit-register",
    status: 41,
  },
  {
    name: "a reset by the keyboard controller is a clean reboot",
    words: "test=idle end=i8042",
    code: 0,
    reason: "reboot",
  },
  {
    name: `a triple fault with an empty IDT is ${
      HIDES_THE_IDT ? "a death on AMD" : "a clean reboot"
    }`,
    words: "test=idle end=triple",
    ...(HIDES_THE_IDT ? TRIPLE_FAULT_DEATH : { code: 0, reason: "reboot" }),
  },
  {
    name: "a triple fault with handlers in place is a death",
    words: "test=idle end=triple-full",
    ...TRIPLE_FAULT_DEATH,
  },
  {
    name: "an instruction KVM cannot emulate is a death that names it",
    words: "test=idle end=ud",
    code: 255,
    reason: "kvm-error",
    error:
      /^error: KVM cannot .*popcnt \(f3 48 0f b8 ff\) at RIP 0x10[0-9a-f]{4} \[KVM_RUN_ERROR\]\nhint: .*ring 0/,
    ignore: NEEDS_EMULATION,
  },
  {
    name: "a guest that reports an exception has its own status",
    words: "test=idle end=fault",
    code: 99,
    reason: "exit-register",
    status: 99,
  },
  ...["spin", "hlt"].map((end) => ({
    name: `a guest in ${end} reaches its time limit`,
    words: `test=idle end=${end}`,
    args: ["--timeout", "300ms"],
    code: 124,
    reason: "timeout",
    error: /^error: guest stopped: it did not end within 300ms \[TIMEOUT\]\nhint: .*--timeout\n$/,
  })),
];

for (const ending of ENDINGS) {
  kvmTest(ending.name, async () => {
    using directory = new DiskDirectory();
    const path = `${directory.path}/report.json`;
    const args = [...(ending.args ?? []), "--report", path];
    const { code, stderr } = await runTinyCli(ending.words, args);
    assertEquals(code, ending.code);
    assertMatch(stderr, ending.error ?? /^$/);
    const report = JSON.parse(Deno.readTextFileSync(path));
    assertEquals(report.reason, ending.reason);
    assertEquals(report.code, ending.code);
    if (ending.status !== undefined) assertEquals(report.status, ending.status);
    assertEquals(report.errors.length, ending.error === undefined ? 0 : 1);
    assert(report.bootMs > 0 && report.bootMs < report.elapsedMs, JSON.stringify(report));
  }, { ignore: ending.ignore });
}

for (const [signal, code] of [["SIGTERM", 143], ["SIGINT", 130], ["SIGHUP", 129]] as const) {
  for (const end of ["spin", "hlt"]) {
    kvmTest(`${signal} ends a guest in ${end} with ${code}`, async () => {
      await using cli = CliProcess.spawn(await tinyArgs(`test=serial end=${end}`));
      await cli.waitFor("hello");
      const begin = performance.now();
      cli.kill(signal);
      const result = await cli.ended;
      assertEquals(
        { code: result.code, signal: result.signal, stderr: result.stderr },
        { code, signal: null, stderr: "" },
      );
      assertLessOrEqual(performance.now() - begin, 3000 * SLOWNESS);
    });
  }
}

kvmTest("a signal that comes before there is a machine ends the run as well", async () => {
  await using cli = CliProcess.spawn(await tinyArgs("test=idle end=spin"));
  await new Promise((resolve) => setTimeout(resolve, 80)); // Deno is up, the machine most likely is not
  cli.kill("SIGTERM");
  const { code, signal } = await cli.ended;
  // Before our handler is there, the default action gives the same status to a shell.
  assertEquals(signal === null ? code : 143, 143);
});

kvmTest(
  "two vCPUs are accepted, and the one that is never started does not keep the machine",
  async () => {
    const { code, stdout } = await runTinyCli("test=serial", ["-c", "2"]);
    assertEquals({ code, stdout }, { code: 0, stdout: "hello from the tiny guest\n" });
    const stopped = await runTinyCli("test=idle end=spin", ["-c", "2", "--timeout", "300ms"]);
    assertEquals(stopped.code, 124);
  },
);
