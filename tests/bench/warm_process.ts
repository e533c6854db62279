/**
 * A process with machines, by the API: what `parts/warm.ts`, `parts/memory.ts` and `parts/growth.ts` look at. Prints a
 * line of JSON for each thing measured.
 *
 *     warm_process.ts turns COUNT          machines one after the other: {"first": ms, "exit": ms} each
 *     warm_process.ts hold COUNT MIB       COUNT idle machines at once: {"ms"} when all run; ends with stdin
 *     warm_process.ts work WORDS DISK…     a machine on each disk with WORDS, all at once: {"ms"} at their end
 */
import { blockKind } from "../../devices/block/kind.ts";
import { Machine, type MachineConfig } from "../../src/machine/mod.ts";
import { tinyConfig } from "../support/kvm.ts";

function say(line: unknown): void {
  const text = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
  for (let done = 0; done < text.length;) done += Deno.stdout.writeSync(text.subarray(done));
}

async function turns(count: number): Promise<void> {
  const config = await tinyConfig({ words: "test=idle" });
  for (let i = 0; i < count; i++) {
    const begin = performance.now();
    await using machine = await Machine.create(config);
    const started = performance.now();
    machine.start();
    const { bootMs } = await machine.exited;
    // bootMs counts from start() to the first entry into the guest.
    say({ first: started - begin + (bootMs ?? NaN), exit: performance.now() - begin });
  }
}

async function hold(count: number, memoryMib: number): Promise<void> {
  const config = await tinyConfig({ words: "test=idle end=hlt", memoryMib });
  await using machines = new AsyncDisposableStack();
  const begin = performance.now();
  for (let i = 0; i < count; i++) {
    const machine = machines.use(await Machine.create(config));
    machine.start();
  }
  say({ ms: performance.now() - begin });
  await Deno.stdin.read(new Uint8Array(1));
}

async function work(words: string, paths: readonly string[]): Promise<void> {
  const configs: MachineConfig[] = await Promise.all(
    paths.map((path) => tinyConfig({ words, devices: [blockKind.parse(path)] })),
  );
  await using machines = new AsyncDisposableStack();
  const all = [];
  for (const config of configs) all.push(machines.use(await Machine.create(config)));
  const begin = performance.now();
  for (const machine of all) machine.start();
  for (const exit of await Promise.all(all.map((machine) => machine.exited))) {
    if (exit.reason !== "exit-register" || exit.status !== 0) {
      throw new Error(`a machine ended badly: ${JSON.stringify(exit)}`);
    }
  }
  say({ ms: performance.now() - begin });
}

const [what, ...rest] = Deno.args;
if (what === "turns") await turns(Number(rest[0]));
else if (what === "hold") await hold(Number(rest[0]), Number(rest[1]));
else if (what === "work") await work(rest[0] ?? "", rest.slice(1));
else throw new Error(`no such word: ${what}`);
