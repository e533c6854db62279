/**
 * `deno task bench`: what the monitor costs, beside QEMU's microvm and a C loop in the same run. Figures of different
 * runs or machines say nothing about each other. The flags are in `options.ts`, the parts in `parts.ts`.
 */
import { buildTinyGuest } from "../guest/build.ts";
import { kvmRefusal } from "../support/kvm.ts";
import { brokenBudgets, type Budgets, budgetsApplied } from "./budget.ts";
import { measureProgram, qemuVersion } from "./monitors.ts";
import { type BenchOptions, benchOptions, helpText, OptionsError } from "./options.ts";
import { PARTS } from "./parts.ts";
import { guestCyclesPerSecond, newSetting } from "./setting.ts";
import { svg } from "./svg.ts";
import { json, markdown, type Row } from "./table.ts";

const BUDGETS = new URL("./budgets.json", import.meta.url);

async function main(): Promise<number> {
  const names = Object.keys(PARTS);
  let options: BenchOptions;
  try {
    options = benchOptions(Deno.args, names);
  } catch (error) {
    if (!(error instanceof OptionsError)) throw error;
    console.error(error.message);
    return 2;
  }
  if (options.help) {
    console.log(helpText(names));
    return 0;
  }
  const refusal = kvmRefusal();
  if (refusal !== undefined) {
    console.error(`nothing can be measured: ${refusal}`);
    return 1;
  }
  return await measure(options);
}

async function measure(options: BenchOptions): Promise<number> {
  if (options.command !== undefined) measureProgram(options.command);
  const version = await qemuVersion();
  if (version === undefined) console.error("QEMU left out: qemu-system-x86_64 is not installed");
  const tiny = await buildTinyGuest();
  const loadBefore = Deno.loadavg()[0] ?? NaN;
  const setting = newSetting({
    tiny,
    hasQemu: version !== undefined,
    quick: options.quick,
    cyclesPerSecond: await guestCyclesPerSecond(),
  });
  const rows: Row[] = [];
  for (const name of options.only) rows.push(...await PARTS[name]?.(setting) ?? []);
  const loadAfter = Deno.loadavg()[0] ?? NaN;
  const cpus = navigator.hardwareConcurrency;
  const facts = `load ${loadBefore.toFixed(1)} before, ${loadAfter.toFixed(1)} after, on ${cpus} ` +
    `processors; ${version ?? "no QEMU"}`;
  console.log(`${markdown(rows)}\n\n${facts}`);
  const { cyclesPerSecond, quick } = setting;
  const numbers = { qemu: version ?? null, loadBefore, loadAfter, cpus, cyclesPerSecond, quick };
  write(options.json, json(rows, numbers));
  write(options.svg, svg(rows, facts));
  return options.check ? check(rows) : 0;
}

function write(path: string, text: string): void {
  const slash = path.lastIndexOf("/");
  if (slash > 0) Deno.mkdirSync(path.slice(0, slash), { recursive: true });
  Deno.writeTextFileSync(path, text);
}

function check(rows: readonly Row[]): number {
  const budgets: Budgets = JSON.parse(Deno.readTextFileSync(BUDGETS));
  const applied = budgetsApplied(rows, budgets);
  const broken = brokenBudgets(rows, budgets);
  console.error(`${applied} budgets checked, ${broken.length} broken`);
  for (const line of broken) console.error(line);
  if (applied === 0) console.error("no budget could be checked: is QEMU installed?");
  return broken.length > 0 || applied === 0 ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main());
