/** Figures side by side: medians of runs that took turns, and their ratio. Used by `main.ts`. */

export interface Row {
  readonly name: string;
  readonly unit: string;
  /** Samples by monitor, ours first. */
  readonly samples: ReadonlyMap<string, readonly number[]>;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** One monitor's way to take a sample. */
export type Sampler = readonly [monitor: string, take: () => Promise<number>];

/** Takes `rounds` samples of each in turn, so that what else the machine does hits all of them. */
export async function takeTurns(
  name: string,
  unit: string,
  rounds: number,
  samplers: readonly Sampler[],
): Promise<Row> {
  const samples = new Map<string, number[]>(samplers.map(([monitor]) => [monitor, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [monitor, take] of samplers) samples.get(monitor)?.push(await take());
  }
  const row = { name, unit, samples };
  console.error(line(row));
  return row;
}

function line({ name, unit, samples }: Row): string {
  const shown = [...samples].map(([monitor, values]) => `${monitor} ${figure(median(values))}`);
  return `${name}: ${shown.join(", ")} ${unit}`;
}

function figure(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en").replaceAll(",", " ");
  return value.toPrecision(3);
}

/** Everything as a Markdown table. The ratio is the first column's figure over the other's. */
export function markdown(rows: readonly Row[]): string {
  const head = ["what", "unit", "dinovisor", "beside it", "ratio"];
  const cells = rows.flatMap((row) => {
    const [[, ours = []] = [], ...others] = [...row.samples];
    const mine = median(ours);
    if (others.length === 0) return [[row.name, row.unit, figure(mine), "", ""]];
    return others.map(([monitor, values]) => {
      const theirs = median(values);
      const ratio = (mine / theirs).toFixed(2);
      return [row.name, row.unit, figure(mine), `${figure(theirs)} ${monitor}`, ratio];
    });
  });
  const lines = [head, head.map(() => "---"), ...cells];
  return lines.map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** The same for programs. */
export function json(rows: readonly Row[], facts: Readonly<Record<string, unknown>>): string {
  const plain = rows.map(({ name, unit, samples }) => ({
    name,
    unit,
    monitors: Object.fromEntries(
      [...samples].map(([monitor, values]) => [monitor, { median: median(values), values }]),
    ),
  }));
  return JSON.stringify({ ...facts, rows: plain }, undefined, 2);
}
