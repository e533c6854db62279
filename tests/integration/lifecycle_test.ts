/** Machines made, started, stopped and dropped in one process, and what is left of them: nothing. */
import {
  assertEquals,
  assertLessOrEqual,
  assertRejects,
  assertThrows,
} from "../../src/std/assert.ts";
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import { MachineError } from "../../src/machine/machine_error.ts";
import { blockSum, DiskDirectory } from "../support/disk_image.ts";
import { assertNothingLeft, hostState, settledState } from "../support/host_state.ts";
import { delay, kvmTest, runTiny, SLOWNESS, tinyConfig, tinyReport } from "../support/kvm.ts";

/** Under TCG a machine takes seconds. */
const CYCLES = Math.ceil(200 / SLOWNESS);
const WARM_UP = 10;
/** One machine that has served every kind of resource: RAM, a disk, a console, named ports. */
async function busyConfig(path: string, words: string): Promise<MachineConfig> {
  return await tinyConfig({
    words,
    devices: [
      { kind: "block", path, readOnly: false, direct: false },
      { kind: "console", ports: [{ name: "port0", channel: { type: "null" } }] },
    ],
  });
}

kvmTest(`${CYCLES} machines booted and ended leave nothing behind`, async () => {
  using directory = new DiskDirectory();
  const config = await busyConfig(directory.random("disk.img", 2 ** 20, 3), "test=blk-sum");
  let before = hostState();
  for (let i = 0; i < CYCLES; i++) {
    if (i === WARM_UP) before = await settledState();
    await using machine = await Machine.create(config);
    machine.start();
    assertEquals((await machine.exited).status, 0);
  }
  assertNothingLeft(before, await settledState());
}, { limitMs: 180_000 });

kvmTest("machines stopped while they run leave nothing behind", async () => {
  using directory = new DiskDirectory();
  const config = await busyConfig(directory.random("disk.img", 2 ** 20, 3), "test=idle end=spin");
  let before = hostState();
  for (let i = 0; i < 15; i++) {
    if (i === 5) before = await settledState();
    await using machine = await Machine.create({ ...config, vcpus: 2 });
    machine.start();
    await delay(5 * (i % 3)); // also right after the start
    const { reason, status } = await machine.stop();
    assertEquals({ reason, status }, { reason: "stopped", status: undefined });
  }
  assertNothingLeft(before, await settledState());
});

kvmTest("a machine that is made and never started leaves nothing behind", async () => {
  using directory = new DiskDirectory();
  const config = await busyConfig(directory.random("disk.img", 2 ** 20, 3), "test=idle");
  let before = hostState();
  for (let i = 0; i < 10; i++) {
    if (i === 3) before = await settledState();
    await using machine = await Machine.create(config);
    if (i % 2 === 0) assertEquals((await machine.stop()).reason, "stopped");
  }
  assertNothingLeft(before, await settledState());
});

const FAILURES = [
  { what: "a disk that is not there", code: "ENOENT", devices: "/nonexistent.img" },
  { what: "a kernel that is none", code: "KERNEL_FORMAT", image: "/etc/passwd" },
  { what: "a KVM device that is not there", code: "KVM_ENOENT", kvmDevice: "/nonexistent" },
] as const;

for (const failure of FAILURES) {
  kvmTest(`creation that fails for ${failure.what} says so and leaves nothing behind`, async () => {
    const tiny = await tinyConfig({ words: "test=idle" });
    const config: MachineConfig = {
      ...tiny,
      kernel: "image" in failure ? { image: failure.image } : tiny.kernel,
      devices: "devices" in failure
        ? [{ kind: "block", path: failure.devices, readOnly: false, direct: false }]
        : [],
    };
    const options = "kvmDevice" in failure ? { kvmDevice: failure.kvmDevice } : {};
    let before = hostState();
    for (let i = 0; i < 8; i++) {
      if (i === 3) before = await settledState();
      const error = await assertRejects(() => Machine.create(config, options), Error);
      assertEquals((error as { code?: unknown }).code, failure.code);
    }
    assertNothingLeft(before, await settledState());
  });
}

kvmTest("two machines at once in one process each read their own disk right", async () => {
  using directory = new DiskDirectory("fast");
  const paths = [3, 4].map((seed) => directory.random(`disk${seed}`, 64 * 2 ** 20, seed));
  const runs = paths.map((path) =>
    tinyReport("test=blk-sum bs=16K", [{ kind: "block", path, readOnly: false, direct: false }])
  );
  const texts = (await Promise.all(runs)).map(({ text }) => text);
  assertEquals(texts, paths.map((path) => `sum ${blockSum(path)} bytes ${64 * 2 ** 20}\n`));
});

kvmTest("a machine starts once, and not after it was stopped", async () => {
  const config = await tinyConfig({ words: "test=idle end=spin" });
  await using machine = await Machine.create(config);
  machine.start();
  assertEquals(assertThrows(() => machine.start(), MachineError).code, "STATE");
  const [first, second] = await Promise.all([machine.stop(), machine.stop()]);
  assertEquals(first, second);
  assertEquals(await machine.exited, first);
  assertThrows(() => machine.start(), MachineError, "stopped");
});

kvmTest("the exit counts a guest's register accesses and port writes", async () => {
  const { exits } = await runTiny({ words: "test=serial bytes=1000" });
  assertLessOrEqual(2000, exits.pio);
  assertEquals(exits.mmio, 0);
});
