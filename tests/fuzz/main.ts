/**
 * `deno task fuzz`: drivers that nearly do it right, against every device, for as long as asked. What it finds is made
 * small and printed as a case for `corpus.ts`.
 *
 *     deno run -A tests/fuzz/main.ts [--minutes N] [--seed N] [--device NAME] [--steps N] [--inside]
 *
 * `--inside`: from inside a VM, by two processors at once, at all devices of a machine (needs /dev/kvm).
 *
 * A seed gives the same cases again, in the same order. Exit status 1 when something was found.
 */
import { parseArgs } from "../../src/std/parse_args.ts";
import { DEVICES } from "../conformance/devices.ts";
import { runCase } from "./fuzz_run.ts";
import { makeCase } from "./generator.ts";
import { FIRE_ROWS } from "./hostile_machine.ts";
import { fuzzInside } from "./inside.ts";
import { Random } from "./random.ts";
import { shrink } from "./shrink.ts";

const MINUTE_MS = 60_000;
const STEPS = 200;
const USAGE_STATUS = 2;
/** Findings with the same message are one. */
const MOST_FINDINGS = 5;

interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly device: string | undefined;
  readonly steps: number;
  readonly inside: boolean;
}

/** The options, or what is wrong with them. */
function parseOptions(args: readonly string[]): Options | string {
  let unknown: string | undefined;
  const words = args[0] === "--" ? args.slice(1) : [...args];
  const parsed = parseArgs(words, {
    string: ["minutes", "seed", "device", "steps"],
    boolean: ["inside"],
    collect: [],
    unknown: (word) => {
      unknown ??= word;
      return false;
    },
  });
  if (unknown !== undefined) return `there is no option "${unknown}"`;
  const minutes = Number(parsed.minutes ?? 1);
  const seed = Number(parsed.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  const steps = Number(parsed.steps ?? STEPS);
  if (!(minutes > 0)) return `--minutes takes a number above 0, not "${parsed.minutes}"`;
  if (!Number.isSafeInteger(seed)) return `--seed takes a whole number, not "${parsed.seed}"`;
  if (!(Number.isSafeInteger(steps) && steps > 0)) {
    return `--steps takes a whole number above 0, not "${parsed.steps}"`;
  }
  const device = typeof parsed.device === "string" ? parsed.device : undefined;
  const inside = parsed.inside === true;
  const names = inside ? FIRE_ROWS : DEVICES.map(({ name }) => name);
  if (device !== undefined && !names.includes(device)) {
    return `--device takes one of "${names.join('", "')}", not "${device}"`;
  }
  return { minutes, seed, device, steps, inside };
}

async function main(): Promise<number> {
  const options = parseOptions(Deno.args);
  if (typeof options === "string") {
    console.error(`error: ${options}`);
    return USAGE_STATUS;
  }
  const { minutes, seed, device, steps } = options;
  if (options.inside) {
    console.log(`seed ${seed}, ${device ?? "all devices"}, ${minutes} min, from inside a VM`);
    return await fuzzInside(options);
  }
  const names = device === undefined ? DEVICES.map(({ name }) => name) : [device];
  console.log(`seed ${seed}, ${names.length} devices, ${minutes} min`);
  const random = new Random(seed);
  const seen = new Set<string>();
  const until = performance.now() + minutes * MINUTE_MS;
  let cases = 0;
  let told = performance.now();
  while (performance.now() < until && seen.size < MOST_FINDINGS) {
    const found = makeCase(random, names[cases % names.length] ?? "", steps);
    cases++;
    const finding = runCase(found);
    if (finding !== undefined && !seen.has(finding.message)) {
      const smaller = shrink(found, (fewer) => runCase(fewer)?.message === finding.message);
      const again = runCase(smaller);
      if (again === undefined) continue; // a hang that comes no more
      seen.add(finding.message);
      console.log(`\n${again.stack}\n${JSON.stringify(smaller)}`);
    }
    if (performance.now() - told > MINUTE_MS / 2) {
      told = performance.now();
      const { rss } = Deno.memoryUsage();
      console.error(`${cases} cases, ${cases * steps} steps, ${Math.round(rss / 2 ** 20)} MiB`);
    }
  }
  console.log(`${cases} cases, ${cases * steps} steps, ${seen.size} findings`);
  return seen.size === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
