/** Further machines of a process that has had one: to the guest's first instruction and to its end. */
import { runOnce } from "../monitors.ts";
import type { Setting } from "../setting.ts";
import { announce, type Row, type Target } from "../table.ts";
import { commandLine } from "../../support/cli_process.ts";

const MACHINES = 110;
const PROCESSES = 3;
const WARM = new URL("../warm_process.ts", import.meta.url).pathname;

interface Turn {
  readonly first: number;
  readonly exit: number;
}

export async function warmRows({ rounds, amount }: Setting): Promise<Row[]> {
  const processes: Turn[][] = [];
  for (let i = 0; i < rounds(PROCESSES); i++) {
    const { stdout } = await runOnce(commandLine(["turns", `${amount(MACHINES)}`], WARM));
    processes.push(stdout.trim().split("\n").map((line) => JSON.parse(line)));
  }
  const row = (name: string, values: readonly number[], targets: readonly Target[] = []): Row =>
    announce({
      name,
      unit: "ms",
      better: "less",
      targets,
      samples: new Map([["dinovisor", values]]),
    });
  const nth = (from: number, to?: number) => processes.flatMap((turns) => turns.slice(from, to));
  const firsts = (turns: readonly Turn[]) => turns.map(({ first }) => first);
  const ends = (turns: readonly Turn[]) => turns.map(({ exit }) => exit);
  const [second, late] = [nth(1, 2), nth(-10)];
  return [
    row("first machine of a process, to its first instruction", firsts(nth(0, 1))),
    row("second machine, to its first instruction", firsts(second), [{ atMost: 10 }]),
    row("second machine, to its exit", ends(second)),
    row("last ten of many machines, to their first instruction", firsts(late), [{ atMost: 10 }]),
    row("last ten of many machines, to their exit", ends(late)),
  ];
}
