/** Machines paused and resumed while their guests work, at any moment, together with starts, stops and ends. */
import { Machine } from "../../src/machine/machine.ts";
import { MachineError } from "../../src/machine/machine_error.ts";
import {
  assert,
  assertEquals,
  assertGreater,
  assertLessOrEqual,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "../../src/std/assert.ts";
import { blockSum, DiskDirectory } from "../support/disk_image.ts";
import { assertNothingLeft, hostState, processorMs, settledState } from "../support/host_state.ts";
import { delay, kvmTest, SLOWNESS, tinyConfig, until, within } from "../support/kvm.ts";

const SPIN = "test=smp-end on=99";

async function spinning(vcpus: number): Promise<Machine> {
  return await Machine.create(await tinyConfig({ words: SPIN, vcpus }));
}

/** Marsaglia's xorshift32, printed seed first: a failing run can be had again. */
function randomNumbers(seed: number): (below: number) => number {
  console.log(`seed ${seed}`);
  let x = seed | 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

async function assertStateError(work: Promise<unknown>): Promise<void> {
  assertEquals((await assertRejects(() => work, MachineError)).code, "STATE");
}

for (const vcpus of [1, 4]) {
  kvmTest(`while a machine of ${vcpus} spinning vCPUs is paused, nothing runs`, async () => {
    await using machine = await spinning(vcpus);
    machine.start();
    for (let i = 0; i < 3; i++) {
      const running = processorMs();
      await until("the guest spins", () => processorMs() - running > 300);
      await machine.pause();
      assertEquals(machine.status, "paused");
      const paused = processorMs();
      await delay(300);
      assertLessOrEqual(processorMs() - paused, 60);
      machine.resume();
    }
  });
}

kvmTest(
  "pause and resume may be asked for again, and only of a machine that was started",
  async () => {
    await using machine = await spinning(2);
    assertEquals(machine.status, "created");
    await assertStateError(machine.pause());
    assertThrows(() => machine.resume(), MachineError, "created");
    machine.start();
    machine.resume(); // it runs: nothing to do
    const pause = machine.pause();
    // A vCPU on its way into the guest may have parked already.
    assert(["pausing", "paused"].includes(machine.status), machine.status);
    assertStrictEquals(machine.pause(), pause);
    await pause;
    assertEquals(machine.status, "paused");
    await machine.pause();
    assertThrows(() => machine.start(), MachineError, "paused");
    machine.resume();
    assertEquals(machine.status, "running");
    const stopped = machine.stop();
    assertEquals(machine.status, "stopping");
    await assertStateError(machine.pause());
    await stopped;
    assertEquals(machine.status, "stopped");
    assertThrows(() => machine.resume(), MachineError, "stopped");
  },
);

kvmTest("a pause that is taken back, or overtaken by the end, says so", async () => {
  await using machine = await spinning(2);
  machine.start();
  const resumed = machine.pause();
  machine.resume();
  assertEquals(machine.status, "running");
  await assertStateError(resumed);
  await machine.pause();
  machine.resume();
  await delay(50); // in the guest again
  const overtaken = machine.pause();
  const exit = machine.stop();
  await assertStateError(overtaken);
  assertEquals((await exit).reason, "stopped");
});

kvmTest("a paused machine stops at once", async () => {
  await using machine = await spinning(4);
  machine.start();
  await machine.pause();
  const begin = performance.now();
  assertEquals((await machine.stop()).reason, "stopped");
  assertLessOrEqual(performance.now() - begin, 1000 * SLOWNESS);
});

kvmTest(
  "a pause right after the start holds, and the guest begins or goes on after it",
  async () => {
    const config = await tinyConfig({ words: "test=smp-start", vcpus: 2 });
    for (let i = 0; i < 10; i++) {
      await using machine = await Machine.create(config);
      machine.start();
      await machine.pause();
      await delay(100); // starting the other processor takes a few milliseconds
      assertEquals(machine.status, "paused");
      machine.resume();
      assertEquals((await machine.exited).status, 0);
    }
  },
);

for (const [vcpus, most] of [[1, 2000], [2, 1000], [4, 300]] as const) {
  kvmTest(`${vcpus} vCPUs work on and get it right through hundreds of pauses`, async () => {
    using directory = new DiskDirectory();
    // On a slow host everything takes longer, and less work lasts as many pauses.
    const rounds = Math.ceil(most / SLOWNESS);
    const bytes = Math.ceil(512 / SLOWNESS) * 4096;
    const path = directory.random("disk.img", bytes, 7);
    const output = `${directory.path}/serial`;
    const random = randomNumbers(vcpus * 7919);
    await using machine = await Machine.create(
      await tinyConfig({
        words: `test=smp-work mmio serial blk bs=1024 count=${rounds}`,
        vcpus,
        devices: [{ kind: "block", path, readOnly: true, direct: false }],
        console: { mode: "file", path: output },
      }),
    );
    machine.start();
    const pauses = await pauseUntilEnd(machine, random);
    const { reason, status, detail } = await machine.exited;
    assertEquals({ reason, status, detail }, {
      reason: "exit-register",
      status: 0,
      detail: undefined,
    }, Deno.readTextFileSync(output));
    const [letters, ...results] = Deno.readTextFileSync(output).trimEnd().split("\n");
    const expected = Array.from({ length: vcpus }, (_, cpu) => "ABCD".charAt(cpu).repeat(rounds));
    assertEquals([...letters ?? ""].sort().join(""), expected.join(""));
    assertEquals(results, ["wrong 0", `sum ${blockSum(path)} bytes ${bytes}`]);
    console.log(`${pauses} pauses`);
    assertGreater(pauses, 100);
  });
}

/** Pauses and resumes at random moments until the guest has ended; returns how often it was paused. */
async function pauseUntilEnd(
  machine: Machine,
  random: (below: number) => number,
): Promise<number> {
  let ended = false, pauses = 0;
  machine.exited.then(() => ended = true);
  while (!ended) {
    await delay(random(6));
    try {
      const first = machine.pause();
      first.catch(() => {}); // taken back, or too late
      if (random(8) === 0) machine.resume();
      await within(5000, "a pause", machine.pause());
      if (machine.status === "paused") pauses++;
      if (random(3) === 0) await delay(random(4));
      machine.resume();
    } catch (error) {
      if (!(error instanceof MachineError) || error.code !== "STATE") throw error;
      await machine.exited; // it ended before we could ask
    }
  }
  return pauses;
}

kvmTest("every vCPU's kvmclock tells the guest that it was paused", async () => {
  using directory = new DiskDirectory();
  const path = `${directory.path}/serial`;
  const words = "test=smp-stopped";
  await using machine = await Machine.create(
    await tinyConfig({ words, vcpus: 2, console: { mode: "file", path } }),
  );
  machine.start();
  await until("the guest is ready", () => Deno.readTextFileSync(path).includes("ready"));
  await delay(100);
  assertEquals(machine.status, "running"); // it waits to be told
  await machine.pause();
  machine.resume();
  assertEquals((await machine.exited).status, 0);
  assertEquals(Deno.readTextFileSync(path), "ready\nstopped 2\n");
});

kvmTest("stop, pause and the guest's own end may meet in any order", async () => {
  const config = await tinyConfig({ words: "test=smp-end on=1 status=7", vcpus: 2 });
  const random = randomNumbers(104_729);
  let before = hostState();
  const reasons = new Map<string, number>();
  for (let i = 0; i < 40; i++) {
    if (i === 5) before = await settledState();
    await using machine = await Machine.create(config);
    machine.start();
    const pauses: Promise<unknown>[] = [];
    for (let step = 0; step < 6; step++) {
      const action = random(step < 3 ? 3 : 4); // a stop, if there is one, comes late
      if (action === 0) await delay(random(8));
      if (action === 1) pauses.push(machine.pause().catch((error: MachineError) => error.code));
      if (action === 2 && machine.status.startsWith("paus")) machine.resume();
      if (action === 3) machine.stop();
    }
    if (random(2) === 0 && machine.status.startsWith("paus")) machine.resume();
    if (random(2) === 0 && machine.status === "running") await machine.exited;
    const { reason, status } = await within(5000, "the end", machine.stop());
    assertEquals(status, reason === "exit-register" ? 7 : undefined);
    const outcomes = new Set(await Promise.all(pauses));
    for (const outcome of outcomes) assertEquals(outcome ?? "STATE", "STATE");
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  console.log(reasons);
  assertEquals([...reasons.keys()].sort(), ["exit-register", "stopped"]);
  assertNothingLeft(before, await settledState());
}, { limitMs: 60_000 });

kvmTest("32 vCPUs are made, run, paused and stopped, and leave nothing behind", async () => {
  let before = hostState();
  for (let i = 0; i < 4; i++) {
    if (i === 1) before = await settledState();
    await using machine = await Machine.create(
      await tinyConfig({ words: "test=smp-end on=99 halt", vcpus: 32 }),
    );
    machine.start();
    await delay(400); // some of them are started by now, some are not
    await machine.pause();
    machine.resume();
    await delay(20);
    if (i % 2 === 0) await machine.pause();
    assertEquals((await machine.stop()).reason, "stopped");
  }
  assertNothingLeft(before, await settledState(), 16); // Deno's thread pool grows; one machine is 33 threads
});
