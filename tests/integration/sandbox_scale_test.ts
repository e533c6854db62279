/** Sandboxes in numbers: much output, many commands at once. Small by default, large with DINOVISOR_TESTS=long; figures are printed. */
import { createHash } from "node:crypto";
import { FREESTANDING_FLAGS } from "../../src/guest/freestanding.ts";
import { Vm } from "../../src/mod.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { linuxTest } from "../support/kvm.ts";
import { LONG } from "../support/linux_guests.ts";

const MIB = 2 ** 20;
const OUTPUT_MIB = LONG ? 100 : 1;
const COMMANDS = LONG ? 100 : 12;
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
