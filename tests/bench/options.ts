/** The flags of `deno task bench`. Used by `main.ts`. */
import { parseArgs } from "../../src/std/parse_args.ts";

export interface BenchOptions {
  readonly only: readonly string[];
  readonly quick: boolean;
  readonly check: boolean;
  readonly help: boolean;
  readonly json: string;
  readonly svg: string;
  /** The program to measure instead of `deno run -A main.ts`. */
  readonly command?: string;
}

/** Bad flags, all of them, in words for people. */
export class OptionsError extends Error {
  override readonly name = "OptionsError";
}

const TEXT = ["only", "json", "svg", "command"] as const;

/** @throws OptionsError */
export function benchOptions(args: readonly string[], parts: readonly string[]): BenchOptions {
  const problems: string[] = [];
  const flags = parseArgs(args, {
    boolean: ["quick", "check", "help"],
    string: TEXT,
    collect: [],
    unknown: (word) => {
      problems.push(`${word} is no flag of the benchmarks: see --help`);
      return false;
    },
  });
  const text = (name: typeof TEXT[number]): string | undefined => {
    const value = flags[name];
    if (value === "") problems.push(`--${name} wants a value`);
    return typeof value === "string" ? value : undefined;
  };
  const only = text("only")?.split(",").filter((word) => word !== "") ?? parts;
  for (const name of only) {
    if (!parts.includes(name)) problems.push(`--only ${name}: the parts are ${parts.join(", ")}`);
  }
  const command = text("command");
  const options: BenchOptions = {
    only,
    quick: flags.quick === true,
    check: flags.check === true,
    help: flags.help === true,
    json: text("json") ?? "bench-results/bench.json",
    svg: text("svg") ?? "bench-results/bench.svg",
    ...(command === undefined ? {} : { command }),
  };
  if (problems.length > 0) throw new OptionsError(problems.join("\n"));
  return options;
}

export function helpText(parts: readonly string[]): string {
  return `deno task bench [FLAGS]: what the monitor costs, beside QEMU microvm and a C loop in the same run

  --only PART,…   of ${parts.join(", ")}
  --quick         fewer samples, less work in each: seconds instead of minutes a part
  --json FILE     every sample (bench-results/bench.json)
  --svg FILE      the plot (bench-results/bench.svg)
  --check         exit with 1 when a ratio breaks its budget (tests/bench/budgets.json)
  --command PATH  measure this program instead of deno run -A main.ts (an installed dinovisor)`;
}
