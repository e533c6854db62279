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
import { kvmTest, runTiny, tinyConfig, until, within } from "../support/kvm.ts";

const EPOLL = "anon_inode:[eventpoll]";
const URING = "anon_inode:[io_uring]";
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

/** Whether the epoll instance `epoll` watches one of `fds` (proc(5), fdinfo): Deno's workers have instances, too. */
function watches(epoll: number, fds: readonly number[]): boolean {
  const lines = Deno.readTextFileSync(`/proc/self/fdinfo/${epoll}`).split("\n");
  return lines.some((line) => fds.includes(Number(/^tfd:\s*(\d+)/.exec(line)?.[1] ?? -1)));
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
  const machine = await create(words, directory, name, vcpus);
  machine.start();
  return machine;
}

async function create(
  words: string,
  directory: DiskDirectory,
  name: string,
  vcpus: number,
): Promise<Machine> {
  const devices: DeviceConfig[] = [
    { kind: "block", path: directory.empty(name, 2 ** 20), readOnly: false, direct: false },
    { kind: "vsock", cid: 3, uds: `${directory.path}/${name}.sock` },
  ];
  const console = { mode: "file", path: `${directory.path}/${name}.serial` } as const;
  return await Machine.create(await tinyConfig({ words, devices, vcpus, console }));
}

async function loopFails(): Promise<void> {
  using directory = new DiskDirectory(); // not in memory: io_uring, so that the loop has something to wait for
  const doomed: Machine[] = [];
  const rings = await newOnes(URING, async () => {
    doomed.push(await running(FOR_EVER, directory, "doomed"));
  });
  const epoll = descriptorsOf(EPOLL).find((fd) => watches(fd, rings));
  assert(epoll !== undefined, "there is a loop that watches the first machine's disk");
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
    ["doomed", "doomed.serial", "other", "other.serial"],
    "socket files are gone",
  );
}

/** The lab has one processor. */
const TWO_IO_THREADS = {
  ignore: navigator.hardwareConcurrency < 2
    ? "on one processor all machines share one I/O thread"
    : undefined,
};

kvmTest(
  "an I/O thread whose loop fails takes its machines with it, no others",
  loopFails,
  TWO_IO_THREADS,
);

kvmTest("nothing is left of I/O threads whose loop has failed", async () => {
  await loopFails();
  Machine.endIdleThreads();
  const before = await settledState();
  for (let i = 0; i < 3; i++) {
    await loopFails();
    Machine.endIdleThreads();
  }
  assertNothingLeft(before, await settledState());
}, TWO_IO_THREADS);

/** No guest runs here: what the thread holds from the start is enough to be left behind. */
async function loopFailsBeforeStart(): Promise<void> {
  using directory = new DiskDirectory();
  let made: Machine | undefined;
  const rings = await newOnes(URING, async () => {
    made = await create("test=idle", directory, "doomed", 1);
  });
  const epoll = descriptorsOf(EPOLL).find((fd) => watches(fd, rings));
  assert(epoll !== undefined && made !== undefined);
  spoil(epoll);
  made.resize(80, 25); // wakes the thread, which then cannot go back to sleep
  const names = () => [...Deno.readDirSync(directory.path)].map(({ name }) => name).sort();
  await until("the socket is closed", () => !names().includes("doomed.sock"));
  const disk = `${directory.path}/doomed`;
  assertEquals(descriptorsOf(disk).length, 1, "the disk is its machine's");
  assertEquals((await made.stop()).reason, "stopped");
  assertEquals([names(), descriptorsOf(disk)], [["doomed", "doomed.serial"], []]);
}

kvmTest("an I/O thread whose loop fails before the guest runs leaves nothing", async () => {
  await loopFailsBeforeStart();
  Machine.endIdleThreads();
  const before = await settledState();
  for (let i = 0; i < 3; i++) await loopFailsBeforeStart();
  Machine.endIdleThreads();
  assertNothingLeft(before, await settledState());
});

/** Nor here: its first vCPU dies on the way into the guest. */
async function vcpuFailsAtStart(vcpus: number): Promise<void> {
  using directory = new DiskDirectory();
  let made: Machine | undefined;
  const [vcpu] = await newOnes(VCPU, async () => {
    made = await create("test=idle", directory, "doomed", vcpus);
  });
  assert(vcpu !== undefined && made !== undefined);
  spoil(vcpu);
  made.start();
  const { reason, detail } = await within(20_000, "the end", made.exited);
  assertEquals(reason, "internal-error");
  assertStringIncludes(detail ?? "", "KvmError");
}

for (const vcpus of [1, 2]) {
  kvmTest(
    `a vCPU thread that dies before its machine of ${vcpus} runs leaves nothing`,
    async () => {
      await vcpuFailsAtStart(vcpus);
      Machine.endIdleThreads();
      const before = await settledState();
      for (let i = 0; i < 5; i++) await vcpuFailsAtStart(vcpus);
      Machine.endIdleThreads();
      assertNothingLeft(before, await settledState());
    },
  );
}

async function vcpuFails(vcpus: number): Promise<void> {
  using directory = new DiskDirectory();
  await using other = await running(FOR_EVER, directory, "other");
  let doomed: Machine | undefined;
  const [vcpu] = await newOnes(VCPU, async () => {
    doomed = await running("test=serial bytes=1G", directory, "doomed", vcpus);
  });
  assert(vcpu !== undefined && doomed !== undefined);
  await until(
    "the guest runs",
    () => Deno.statSync(`${directory.path}/doomed.serial`).size > 0,
  );
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
