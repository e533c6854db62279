/**
 * Sandboxes in numbers: much output, many commands at once, many machines of one process. Small by default; with
 * DINOVISOR_TESTS=long as large as is promised. What was measured is printed.
 */
import { createHash } from "node:crypto";
import { FREESTANDING_FLAGS } from "../../src/guest/freestanding.ts";
import { Machine } from "../../src/machine/mod.ts";
import { Vm } from "../../src/mod.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { assertNothingLeft, hostState, settledState } from "../support/host_state.ts";
import { linuxTest } from "../support/kvm.ts";
import { LONG } from "../support/linux_guests.ts";

const MIB = 2 ** 20;
const OUTPUT_MIB = LONG ? 100 : 1;
const COMMANDS = LONG ? 100 : 12;
const MACHINES = LONG ? 50 : 4;
/** At once: more would only wait for each other. */
const BATCH = Math.max(2, navigator.hardwareConcurrency);
const SEED = 4711;

function say(what: string, ...figures: readonly string[]): void {
  console.log(`measured: ${what}: ${figures.join(", ")}`);
}

function seconds(begin: number): number {
  return (performance.now() - begin) / 1000;
}

/** tests/agent/random.c, compiled. */
function buildRandom(directory: DiskDirectory): string {
  const [sources, shared] = ["../agent/", "../../src/guest/rootfs/"].map((path) =>
    new URL(path, import.meta.url).pathname
  );
  const program = `${directory.path}/random`;
  const { success, stderr } = new Deno.Command("gcc", {
    args: [...FREESTANDING_FLAGS, `-I${shared}`, "-o", program, `${sources}random.c`],
  }).outputSync();
  assert(success, new TextDecoder().decode(stderr));
  return program;
}

async function sha256(stream: ReadableStream<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest("hex");
}

linuxTest(`${OUTPUT_MIB} MiB of random output arrive as they were written`, async () => {
  using directory = new DiskDirectory("fast");
  await using vm = await Vm.boot();
  await vm.fs.upload(buildRandom(directory), "/tmp/random");
  const bytes = OUTPUT_MIB * MIB;
  const begin = performance.now();
  await using child = await vm.spawn("/tmp/random", [`${bytes}`, `${SEED}`]);
  const [found, errors, { code }] = await Promise.all([
    sha256(child.stdout),
    child.stderr.text(),
    child.status,
  ]);
  const took = seconds(begin);
  assertEquals([code, errors], [0, ""]);
  using file = await Deno.open(directory.random("expected", bytes, SEED));
  assertEquals(found, await sha256(file.readable));
  say(`${OUTPUT_MIB} MiB of output`, `${(OUTPUT_MIB / took).toFixed(2)} MiB/s`);
});

linuxTest(`${COMMANDS} commands at once have each their own input and output`, async () => {
  const booting = performance.now();
  await using vm = await Vm.boot({ memory: "256MiB" });
  const first = await vm.output("echo", ["first"]);
  say("from Vm.boot to the end of the first command", `${seconds(booting).toFixed(2)} s`);
  assertEquals(first.text, "first\n");
  const rounds = 10;
  let begin = performance.now();
  for (let i = 0; i < rounds; i++) await vm.output("true");
  say("a command, one after the other", `${(1000 * seconds(begin) / rounds).toFixed(0)} ms`);

  begin = performance.now();
  const numbers = Array.from({ length: COMMANDS }, (_, i) => i);
  const script = "echo $0 begins; read line; echo $0 $line; echo $0 >&2; exit $(($0 % 100))";
  const children = await Promise.all(
    numbers.map((n) => vm.spawn("sh", ["-c", script, `${n}`], { stdin: "piped" })),
  );
  const pids = new Set(children.map(({ pid }) => pid));
  assertEquals(pids.size, COMMANDS);
  // Each runs before any has ended: they all wait for their line.
  const running = await vm.output("sh", ["-c", "ls /proc"]);
  const alive = new Set(running.text.split("\n"));
  assert([...pids].every((pid) => alive.has(`${pid}`)), "all are there at once");
  await Promise.all(children.map(async ({ stdin }, n) => {
    const writer = stdin.getWriter();
    await writer.write(new TextEncoder().encode(`line ${n} ${"x".repeat(1000)}\n`));
    await writer.close();
  }));
  const outputs = await Promise.all(children.map((child) => child.output()));
  for (const [n, { code, stdout, stderr }] of outputs.entries()) {
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    const text = `${n} begins\n${n} line ${n} ${"x".repeat(1000)}\n`;
    assertEquals({ code, out, err }, { code: n % 100, out: text, err: `${n}\n` });
  }
  await Promise.all(children.map((child) => child[Symbol.asyncDispose]()));
  say(`${COMMANDS} commands at once`, `${seconds(begin).toFixed(1)} s`);
  // Nothing of them is left in the guest: the agent, init, and what lists them.
  const { text } = await vm.output("sh", [
    "-c",
    "ls -d /proc/[0-9]* | wc -l; ls /proc/self/fd | wc -l",
  ]);
  const [processes = NaN, files = NaN] = text.split("\n").map(Number);
  assert(files <= 4, `${files} files are open in a command`);
  assert(processes < 60, `${processes} processes`);
});

/** Files of ours in the directories for temporary ones. */
function temporaryFiles(): string[] {
  return ["/tmp", "/var/tmp", Deno.env.get("TMPDIR") ?? "/tmp"]
    .flatMap((directory) =>
      [...Deno.readDirSync(directory)].map(({ name }) => `${directory}/${name}`)
    )
    .filter((path) => path.includes("dinovisor-") && !path.includes("dinovisor-test-"));
}

/** `count` machines at once: each is started, used, and gone. Returns how long each took to its first output, in seconds. */
async function batch(count: number, base: string, name: number): Promise<number[]> {
  return await Promise.all(Array.from({ length: count }, async (_, i) => {
    const begin = performance.now();
    await using vm = await Vm.boot({ memory: "96MiB", disks: [{ path: base, overlay: true }] });
    const mark = `machine ${name + i}`;
    const { text } = await vm.output("sh", [
      "-c",
      "echo $0 | dd of=/dev/vdb 2>/dev/null; head -n 1 /dev/vdb",
      mark,
    ]);
    const took = seconds(begin);
    assertEquals(text, `${mark}\n`);
    await vm.fs.writeTextFile("/tmp/x", mark);
    assertEquals(await vm.fs.readTextFile("/tmp/x"), mark);
    if (i % 2 === 0) await vm.shutdown();
    return took;
  }));
}

linuxTest(`${MACHINES} machines of one process are started, used and gone`, async () => {
  using directory = new DiskDirectory();
  const base = directory.random("base.img", MIB, SEED);
  const before = Deno.readFileSync(base);
  await batch(BATCH, base, 0); // threads, code and libraries are there afterwards
  const files = temporaryFiles();
  const state = await settledState();
  const begin = performance.now();
  const took: number[] = [];
  const peaks: number[] = [];
  for (let made = 0; made < MACHINES; made += BATCH) {
    took.push(...await batch(Math.min(BATCH, MACHINES - made), base, made));
    peaks.push(hostState().rssMib);
    if (LONG) say(`${Math.min(made + BATCH, MACHINES)} machines`, `${seconds(begin).toFixed(0)} s`);
  }
  const after = await settledState();
  assertNothingLeft(state, after);
  assertEquals(temporaryFiles(), files);
  assertEquals(Deno.readFileSync(base), before);
  took.sort((a, b) => a - b);
  say(
    `${MACHINES} machines, ${BATCH} at once`,
    `first output after ${took[took.length >> 1]?.toFixed(1)} s`,
    `${state.rssMib.toFixed(0)} MiB before, ${after.rssMib.toFixed(0)} MiB after`,
    `${state.fds} and ${after.fds} descriptors, ${state.threads} and ${after.threads} threads`,
    `at batch ends ${peaks.map((mib) => mib.toFixed(0)).join(" ")} MiB`,
  );
  Machine.endIdleThreads();
});
