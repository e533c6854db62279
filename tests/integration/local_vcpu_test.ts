/**
 * The first vCPU on the control thread, as the command line has it: while the guest runs, this isolate's timers, the
 * machine's messages and its requests all get their turn.
 */
import type { DeviceConfig } from "../../devices/mod.ts";
import { LocalVcpu } from "../../src/machine/local_vcpu.ts";
import { idleVcpuWorkers } from "../../src/machine/worker_vcpu.ts";
import { Machine } from "../../src/machine/machine.ts";
import type { MachineEvents } from "../../src/machine/machine_options.ts";
import { placementOf } from "../../src/machine/placement.ts";
import { planMachine } from "../../src/machine/plan.ts";
import { SysError } from "../../src/sys/sys_error.ts";
import { assert, assertEquals, assertLessOrEqual, assertRejects } from "../../src/std/assert.ts";
import { runTinyCli } from "../support/cli_process.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import {
  assertNothingLeft,
  descriptorsOf,
  hostState,
  settledState,
} from "../support/host_state.ts";
import { delay, kvmTest, SLOWNESS, tinyConfig, within } from "../support/kvm.ts";

/** `deno test` may have to type-check the worker that the first stop waits for. */
const STOP_MS = 15_000;

async function localMachine(
  words: string,
  { vcpus = 1, events = {} }: { vcpus?: number; events?: MachineEvents } = {},
): Promise<Machine> {
  const config = await tinyConfig({ words, vcpus });
  return Machine.create(config, { firstVcpu: LocalVcpu, events });
}

/** Counts the vCPU workers that are taken from now on. */
function takenWorkers(): Disposable & { readonly count: number } {
  const { take } = idleVcpuWorkers;
  let count = 0;
  idleVcpuWorkers.take = () => {
    count++;
    return take.call(idleVcpuWorkers);
  };
  return {
    get count() {
      return count;
    },
    [Symbol.dispose]: () => idleVcpuWorkers.take = take,
  };
}

kvmTest("a guest on the control thread runs to its end", async () => {
  await using machine = await localMachine("test=idle status=9");
  machine.start();
  const { reason, status } = await machine.exited;
  assertEquals([reason, status], ["exit-register", 9]);
});

kvmTest("timers get their turn while the guest spins, and may stop it", async () => {
  await using machine = await localMachine("test=idle end=spin");
  machine.start();
  const begin = performance.now();
  let ticks = 0;
  const ticking = setInterval(() => ticks++, 50);
  await delay(1000);
  clearInterval(ticking);
  // Every 100 ms at the latest; a guest that kept the thread would let none through.
  assert(ticks >= 5, `${ticks} ticks`);
  assertLessOrEqual(performance.now() - begin, 2000 * SLOWNESS);
  assertEquals((await within(STOP_MS, "the stop", machine.stop())).reason, "stopped");
});

kvmTest("it pauses and resumes, as often as it is asked", async () => {
  await using machine = await localMachine("test=idle end=spin");
  machine.start();
  for (let i = 0; i < 5; i++) {
    await within(2000, "the pause", machine.pause());
    assertEquals(machine.status, "paused");
    await delay(10);
    machine.resume();
    if (i % 2 === 0) await delay(5);
  }
  await machine.pause();
  assertEquals((await within(STOP_MS, "the stop", machine.stop())).reason, "stopped");
  await assertRejects(() => machine.pause());
});

kvmTest("other vCPUs run in workers and end with it", async () => {
  await using machine = await localMachine("test=smp-end on=1 status=7", { vcpus: 2 });
  machine.start();
  const { reason, status } = await machine.exited;
  assertEquals([reason, status], ["exit-register", 7]);
});

kvmTest(
  "an I/O thread that is ready before the control thread's vCPU is made does no harm",
  async () => {
    // In a process of its own: a kick it is not ready for would end this one, with all its tests.
    const module = new URL("./late_first_vcpu.ts", import.meta.url).pathname;
    using directory = new DiskDirectory();
    const claimed = ["--vsock", `cid=3,uds=${directory.path}/vsock`]; // has it made before the guest runs
    const { code, stderr } = await runTinyCli("test=idle status=7", claimed, { module });
    assertEquals(code, 7, stderr);
  },
);

kvmTest(
  "a guest begins without the threads of its other vCPUs, which start when they come",
  async () => {
    using taken = takenWorkers();
    await using machine = await localMachine("test=smp-start", { vcpus: 4 });
    assertEquals(taken.count, 0);
    machine.start();
    const { reason, status } = await machine.exited; // it waits for each processor it starts
    assertEquals([reason, status, taken.count], ["exit-register", 0, 3]);
  },
);

kvmTest(
  "it pauses before the threads of its other vCPUs are there, and goes on with them",
  async () => {
    using taken = takenWorkers();
    await using machine = await localMachine("test=smp-start", { vcpus: 3 });
    machine.start();
    await within(2000, "the pause", machine.pause());
    await delay(50);
    assertEquals([machine.status, taken.count], ["paused", 0]);
    machine.resume();
    const { reason, status } = await machine.exited;
    assertEquals([reason, status, taken.count], ["exit-register", 0, 2]);
  },
);

for (const ms of [0, 10, 50]) {
  kvmTest(`it is stopped ${ms} ms after its start, wherever its threads are`, async () => {
    const machine = await localMachine("test=smp-start end=spin", { vcpus: 4 });
    machine.start();
    await delay(ms);
    assertEquals((await within(STOP_MS, "the stop", machine.stop())).reason, "stopped");
  });
}

kvmTest("a thread that cannot be had once the guest runs ends the machine with words", async () => {
  const { take } = idleVcpuWorkers;
  idleVcpuWorkers.take = () =>
    new Worker("data:text/javascript,throw Error('no room')", { type: "module" });
  try {
    await using machine = await localMachine("test=smp-start", { vcpus: 2 });
    machine.start();
    const { reason, detail } = await within(STOP_MS, "the end", machine.exited);
    assertEquals(reason, "internal-error");
    assert(detail?.includes("no room"), detail);
  } finally {
    idleVcpuWorkers.take = take;
  }
});

kvmTest(
  "a machine stopped before its start leaves nothing behind, nor do fifty that ran",
  async () => {
    let before = hostState();
    for (let i = 0; i < 50; i++) {
      if (i === 5) before = await settledState();
      await using machine = await localMachine("test=serial bytes=10");
      if (i % 10 !== 0) {
        machine.start();
        await machine.exited;
      }
    }
    assertNothingLeft(before, await settledState());
  },
);

kvmTest(
  "threads wait until they are needed, but the I/O thread, if it has to take something of the host",
  async () => {
    using directory = new DiskDirectory();
    const path = directory.empty("disk.img", 2 ** 20);
    const disk = { kind: "block", path, readOnly: false, direct: false } as const;
    const plan = async (devices: readonly DeviceConfig[], vcpus = 1) =>
      planMachine(await tinyConfig({ words: "", devices, vcpus, console: { mode: "auto" } }));
    const late = { io: "when needed", vcpus: "when needed" };
    assertEquals(placementOf(await plan([]), true), late);
    assertEquals(placementOf(await plan([], 2), true), late);
    assertEquals(placementOf(await plan([disk]), true), late); // its file is opened by control
    const others: DeviceConfig[] = [
      { ...disk, overlay: true },
      { kind: "vsock", cid: 3, uds: `${directory.path}/vsock` },
      { kind: "net", backend: { type: "tap", name: "tap0" } },
    ];
    for (const device of others) {
      const plans = await plan([disk, device]);
      assertEquals(placementOf(plans, true), { ...late, io: "at once" }, device.kind);
    }
    assertEquals(placementOf(await plan([]), false), { io: "at once", vcpus: "at once" });
  },
);

kvmTest(
  "a disk is taken before its guest runs, and let go of when its machine is gone",
  async () => {
    using directory = new DiskDirectory();
    const path = directory.empty("disk.img", 2 ** 20);
    const disk = { kind: "block", path, readOnly: false, direct: false } as const;
    const config = await tinyConfig({ words: "test=idle end=spin", devices: [disk] });
    {
      await using machine = await Machine.create(config, { firstVcpu: LocalVcpu });
      const refused = await assertRejects(
        () => Machine.create(config, { firstVcpu: LocalVcpu }),
        SysError,
        `lock "${path}" failed`,
      );
      assertEquals([refused.code, refused.hint?.split(":")[0]], [
        "EAGAIN",
        "another machine uses it",
      ]);
      machine.start();
      await delay(100); // the I/O thread has started, and has it now
      await assertRejects(() => Machine.create(config), SysError);
      assertEquals(descriptorsOf(path).length, 1);
    }
    assertEquals(descriptorsOf(path), []);
    await using again = await Machine.create(config);
    await again.stop();
  },
);

kvmTest("what the host refuses a late I/O thread ends the machine with words", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "dinovisor-late-" });
  const config = await tinyConfig({
    words: "test=serial bytes=10 end=spin",
    console: { mode: "file", path: `${directory}/console` },
  });
  await using machine = await Machine.create(config, { firstVcpu: LocalVcpu });
  Deno.removeSync(directory, { recursive: true }); // there when it was checked, gone when it is opened
  machine.start();
  const { reason, detail } = await within(5000, "the end", machine.exited);
  assertEquals(reason, "internal-error");
  assert(detail?.includes("console"), detail);
});
