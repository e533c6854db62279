/**
 * A thread of the monitor dies while the guest runs: here because `sabotage.ts` closes a descriptor under it, which
 * no input can do. The run ends with our status, says why, and the terminal is as it was.
 */
import { assert, assertEquals, assertStringIncludes } from "../../src/std/assert.ts";
import { CliProcess, commandLine, shellWords, tinyArgs } from "../support/cli_process.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { kvmTest } from "../support/kvm.ts";

const SABOTAGE = new URL("./sabotage.ts", import.meta.url).pathname;
const VCPU = "anon_inode:kvm-vcpu:0";
const URING = "anon_inode:[io_uring]";

kvmTest("a vCPU thread that dies ends the run with 125 and says why", async () => {
  await using cli = CliProcess.spawn(await tinyArgs("test=serial-echo"), {
    module: SABOTAGE,
    env: { SABOTAGE: VCPU },
    stdin: "open",
  });
  const { code, stdout, stderr } = await cli.ended;
  assertEquals({ code, stdout }, { code: 125, stdout: "ready\n" });
  assertStringIncludes(stderr, "error: a thread of the monitor died: KvmError: ");
  assertStringIncludes(stderr, "KVM_RUN");
  assertStringIncludes(stderr, "[INTERNAL_ERROR]");
});

kvmTest("an I/O thread that dies ends the run with 125 and says why", async () => {
  using directory = new DiskDirectory(); // not in memory: such files are read without io_uring
  const disk = directory.empty("disk.img", 2 ** 20);
  const words = "test=blk-bench ops=100000000";
  await using cli = CliProcess.spawn(await tinyArgs(words, ["--disk", disk]), {
    module: SABOTAGE,
    env: { SABOTAGE: URING },
  });
  const { code, stdout, stderr } = await cli.ended;
  assertEquals({ code, stdout }, { code: 125, stdout: "" });
  assertStringIncludes(stderr, "error: a thread of the monitor died: SysError: ");
  assertStringIncludes(stderr, "io_uring");
});

kvmTest("a terminal is put back after a thread has died", async () => {
  const run = shellWords(commandLine(await tinyArgs("test=serial-echo"), SABOTAGE));
  const script = `echo before $(stty -g); ${run}; echo status $?; echo after $(stty -g)`;
  await using cli = CliProcess.onTerminal(script, { env: { SABOTAGE: VCPU } });
  const { stdout } = await cli.ended;
  const before = /before (\S+)/.exec(stdout)?.[1];
  assert(before !== undefined && stdout.includes(`after ${before}`), stdout);
  assertStringIncludes(stdout, "status 125");
  assertStringIncludes(stdout, "a thread of the monitor died");
});
