/**
 * Threads of the monitor that die under running machines: those they served end with `internal-error`, those of other
 * threads go on, and nothing is left of either. Descriptors are taken away under them, which no guest can do.
 */
import type { DeviceConfig } from "../../devices/mod.ts";
import { O_CLOEXEC, O_RDONLY } from "../../src/abi/linux.ts";
import { Machine } from "../../src/machine/machine.ts";
import { assert, assertEquals, assertStringIncludes } from "../../src/std/assert.ts";
import { cString, libc } from "../../src/sys/libc.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { assertNothingLeft, descriptorsOf, settledState } from "../support/host_state.ts";
import { kvmTest, runTiny, tinyConfig, within } from "../support/kvm.ts";

const EPOLL = "anon_inode:[eventpoll]";
const VCPU = "anon_inode:kvm-vcpu:0";
/** More than a test takes: the guest is at work when it is looked at. */
const FOR_EVER = "test=blk-bench ops=1000000000 qd=4";

/** Has descriptor `fd` be /dev/null from now on; whoever owns it closes it as before. */
function spoil(fd: number): void {
  libc().close(fd);
  const others: number[] = [];
  for (;;) {
    const opened = libc().open(cString("/dev/null"), O_RDONLY | O_CLOEXEC, 0);
    assert(opened >= 0);
    if (opened === fd) break;
    others.push(opened);
  }
  for (const other of others) libc().close(other);
}

/** Descriptors of `target` that `work` has brought. */
async function newOnes(target: string, work: () => Promise<void>): Promise<number[]> {
  const before = descriptorsOf(target);
  await work();
  return descriptorsOf(target).filter((fd) => !before.includes(fd));
}

async function running(
  words: string,
  directory: DiskDirectory,
  name: string,
  vcpus = 1,
): Promise<Machine> {
  const devices: DeviceConfig[] = [
    { kind: "block", path: directory.empty(name, 2 ** 20), readOnly: false, direct: false },
    { kind: "vsock", cid: 3, uds: `${directory.path}/${name}.sock` },
  ];
  const machine = await Machine.create(await tinyConfig({ words, devices, vcpus }));
  machine.start();
  return machine;
}

async function loopFails(): Promise<void> {
  using directory = new DiskDirectory(); // not in memory: io_uring, so that the loop has something to wait for
  const doomed: Machine[] = [];
  const [epoll] = await newOnes(EPOLL, async () => {
    doomed.push(await running(FOR_EVER, directory, "doomed"));
  });
  assert(epoll !== undefined, "the first machine has a thread of its own");
  await using other = await running(FOR_EVER, directory, "other");
  spoil(epoll);
  for (const machine of doomed) {
    const { reason, detail } = await within(20_000, "the end", machine.exited);
    assertEquals(reason, "internal-error");
    assertStringIncludes(detail ?? "", "SysError");
  }
  assertEquals(other.status, "running");
  assertEquals((await runTiny({ words: "test=idle status=6" })).status, 6);
  assertEquals((await other.stop()).reason, "stopped");
  assertEquals(
    [...Deno.readDirSync(directory.path)].map(({ name }) => name).sort(),
    ["doomed", "other"],
    "socket files are gone",
  );
}

kvmTest("an I/O thread whose loop fails takes its machines with it, no others", loopFails);

kvmTest("nothing is left of I/O threads whose loop has failed", async () => {
  await loopFails();
  Machine.endIdleThreads();
  const before = await settledState();
  for (let i = 0; i < 3; i++) {
    await loopFails();
    Machine.endIdleThreads();
  }
  assertNothingLeft(before, await settledState());
});

async function vcpuFails(vcpus: number): Promise<void> {
  using directory = new DiskDirectory();
  await using other = await running(FOR_EVER, directory, "other");
  let doomed: Machine | undefined;
  const [vcpu] = await newOnes(VCPU, async () => {
    doomed = await running("test=serial bytes=1G", directory, "doomed", vcpus);
  });
  assert(vcpu !== undefined && doomed !== undefined);
  spoil(vcpu);
  const { reason, detail } = await within(20_000, "the end", doomed.exited);
  assertEquals(reason, "internal-error");
  assertStringIncludes(detail ?? "", "KVM_RUN");
  assertEquals(other.status, "running");
  assertEquals((await other.stop()).reason, "stopped");
}

for (const vcpus of [1, 2]) {
  kvmTest(`a vCPU thread that dies ends its machine of ${vcpus}, and nothing is left`, async () => {
    await vcpuFails(vcpus);
    Machine.endIdleThreads();
    const before = await settledState();
    for (let i = 0; i < 3; i++) await vcpuFails(vcpus);
    Machine.endIdleThreads();
    assertNothingLeft(before, await settledState());
  });
}
