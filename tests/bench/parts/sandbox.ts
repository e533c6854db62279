/** Sandboxes of the default guest: how long until a command has run, and what one more costs. */
import { Vm } from "../../../src/mod.ts";
import type { Setting } from "../setting.ts";
import { announce, type Row } from "../table.ts";

const COMMANDS = 20;

export async function sandboxRows({ rounds, amount }: Setting): Promise<Row[]> {
  const firsts: number[] = [];
  const commands: number[] = [];
  const files: number[] = [];
  for (let i = 0; i < rounds(5); i++) {
    const begin = performance.now();
    await using vm = await Vm.boot();
    await vm.output("echo", ["first"]);
    firsts.push(performance.now() - begin);
    for (let j = 0; j < amount(COMMANDS); j++) {
      commands.push(await timed(() => vm.output("true")));
      files.push(await timed(() => vm.fs.writeTextFile("/tmp/file", "text")));
    }
  }
  return [
    row("Vm.boot to the end of the first command", firsts),
    row("one more command", commands),
    row("a small file written", files),
  ];
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

function row(name: string, values: readonly number[]): Row {
  return announce({
    name,
    unit: "ms",
    better: "less",
    samples: new Map([["dinovisor", values]]),
  });
}
