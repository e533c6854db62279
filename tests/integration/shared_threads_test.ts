/** Machines of one process share I/O threads, and threads serve one machine after another. */
import { Machine } from "../../src/machine/machine.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { assertNothingLeft, hostState, settledState } from "../support/host_state.ts";
import { delay, kvmTest, runTiny, tinyConfig, within } from "../support/kvm.ts";

/** Three times as many machines as processors: every I/O thread serves several. */
const MACHINES = 3 * navigator.hardwareConcurrency;

async function started(words: string, disk?: string): Promise<Machine> {
  const devices = disk === undefined
    ? []
    : [{ kind: "block", path: disk, readOnly: false, direct: false } as const];
  const machine = await Machine.create(await tinyConfig({ words, devices }));
  machine.start();
  return machine;
}

kvmTest("machines that share I/O threads do their own work, and end one by one", async () => {
  using directory = new DiskDirectory();
  const machines: Machine[] = [];
  for (let i = 0; i < MACHINES; i++) {
    const disk = directory.empty(`disk${i}.img`, 4 * 2 ** 20);
    machines.push(await started(`test=blk-write count=4096 seed=${i} bs=4096 qd=8`, disk));
  }
  for (const machine of machines) {
    assertEquals((await within(20_000, "the end", machine.exited)).reason, "exit-register");
  }
  for (let i = 0; i < MACHINES; i++) {
    const words = new Uint32Array(
      Deno.readFileSync(`${directory.path}/disk${i}.img`).buffer,
      0,
      4096,
    );
    const expected = words.map((_, index) => Math.imul(index + i, 2654435761));
    assertEquals(words, expected, `disk ${i}`);
  }
});

kvmTest("a machine that is stopped takes no other one with it", async () => {
  const machines: Machine[] = [];
  for (let i = 0; i < MACHINES; i++) machines.push(await started("test=idle end=hlt"));
  for (let i = 0; i < MACHINES - 1; i++) {
    assertEquals((await within(5000, "the stop", machines[i]?.stop() ?? fail())).reason, "stopped");
  }
  const last = machines[MACHINES - 1];
  assertEquals(last?.status, "running");
  await last?.stop();
});

function fail(): never {
  throw new Error("There is no such machine");
}

kvmTest("a device that the host refuses fails its own machine only", async () => {
  using directory = new DiskDirectory();
  await using running = await started("test=idle end=hlt");
  const path = directory.empty("gone.img", 2 ** 20);
  const config = await tinyConfig({
    words: "test=idle",
    devices: [{ kind: "block", path, readOnly: false, direct: false }],
  });
  Deno.removeSync(path);
  for (let i = 0; i < MACHINES; i++) { // on every thread
    let code = "";
    try {
      await Machine.create(config);
    } catch (error) {
      code = (error as { code?: string }).code ?? String(error);
    }
    assert(code !== "", "the machine was made without its disk");
  }
  await delay(50);
  assertEquals(running.status, "running");
  assertEquals((await running.stop()).reason, "stopped");
});

kvmTest(
  "threads that have served one machine serve the next, and there are no more of them",
  async () => {
    const words = { words: "test=idle status=3" };
    for (let i = 0; i < 3; i++) await runTiny(words);
    const before = await settledState();
    for (let i = 0; i < 20; i++) assertEquals((await runTiny(words)).status, 3);
    assertNothingLeft(before, await settledState());
  },
);

kvmTest(
  "so do those of machines with more vCPUs than threads are kept",
  async () => {
    const words = { words: "test=smp-end on=1 status=5", vcpus: 6 };
    await runTiny(words);
    const before = await settledState();
    for (let i = 0; i < 4; i++) assertEquals((await runTiny(words)).status, 5);
    assertNothingLeft(before, await settledState());
  },
);

kvmTest("a script ends when its machines have, though their threads wait for more", async () => {
  const config = await tinyConfig({ words: "test=idle" });
  const script = `import { Machine } from ${
    JSON.stringify(new URL("../../src/machine/machine.ts", import.meta.url).href)
  };
    const machine = await Machine.create(${JSON.stringify(config)});
    machine.start();
    await machine.exited;
    console.log("over");`;
  const path = Deno.makeTempFileSync({ suffix: ".ts" });
  try {
    Deno.writeTextFileSync(path, script);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--config", new URL("../../deno.json", import.meta.url).pathname, path],
      stdin: "null",
      stdout: "piped",
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    }).spawn();
    const ended = child.output();
    try {
      const { code, stdout } = await within(20_000, "the end of the script", ended);
      assertEquals([code, new TextDecoder().decode(stdout)], [0, "over\n"]);
    } catch (error) {
      child.kill("SIGKILL");
      await ended;
      throw error;
    }
  } finally {
    Deno.removeSync(path);
  }
});

kvmTest("nothing is left of threads that are ended", async () => {
  await runTiny({ words: "test=idle" });
  Machine.endIdleThreads();
  const before = await settledState();
  await runTiny({ words: "test=idle" });
  assert(hostState().threads > before.threads, "no thread was kept");
  Machine.endIdleThreads();
  assertNothingLeft(before, await settledState());
});
