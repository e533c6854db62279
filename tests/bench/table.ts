/** Figures side by side: medians of runs that took turns, their ratios and targets. Used by everything here. */

/** What a row is to be, against another column of the same row or in its own unit. */
export interface Target {
  /** A column's name, or its beginning: of all that match, the best counts. None: the figure itself. */
  readonly against?: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** Places a row on a line of the growth plot. */
export interface Step {
  /** Rows of one series are one line. */
  readonly series: string;
  /** What grows: "vCPUs", "disks", "VMs", "queue depth". */
  readonly axis: string;
  readonly x: number;
}

export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly better: "less" | "more";
  /** Samples by column, ours first. */
  readonly samples: ReadonlyMap<string, readonly number[]>;
  readonly targets?: readonly Target[];
  readonly step?: Step;
}

/** All of a row but its samples. */
export type RowHead = Omit<Row, "samples">;

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Linear between the two nearest samples; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)] ?? NaN;
  const high = sorted[Math.ceil(at)] ?? NaN;
  return low + (high - low) * (at - Math.floor(at));
}

/** The middle half of the samples. */
export function spread(values: readonly number[]): readonly [low: number, high: number] {
  return [quantile(values, 0.25), quantile(values, 0.75)];
}

/** The name and the samples of our column. */
export function ours(row: Row): readonly [string, readonly number[]] {
  const [first] = row.samples;
  return first ?? ["", []];
}

/** The columns beside ours. */
export function others(row: Row): (readonly [string, readonly number[]])[] {
  return [...row.samples].slice(1);
}

/** How a target came out; `value` is the ratio, or our figure where nothing stands beside it. */
export interface Verdict {
  readonly text: string;
  readonly value: number;
  readonly met: boolean;
}

/** Judges `target`; undefined when the column it speaks of was not measured. */
export function judge(row: Row, target: Target): Verdict | undefined {
  const mine = median(ours(row)[1]);
  let value = mine;
  let of = ` ${row.unit}`;
  if (target.against !== undefined) {
    const prefix = target.against;
    const matching = others(row).filter(([name]) => name.startsWith(prefix)).map(([, s]) =>
      median(s)
    );
    if (matching.length === 0) return undefined;
    value = mine / (row.better === "less" ? Math.min(...matching) : Math.max(...matching));
    of = ` of ${prefix}`;
  }
  const { atMost, atLeast } = target;
  const met = value <= (atMost ?? Infinity) && value >= (atLeast ?? -Infinity);
  const bound = atMost === undefined ? `at least ${atLeast}` : `at most ${atMost}`;
  return { text: `${bound}${of}`, value, met };
}

/** One column's way to take a sample. */
export type Sampler = readonly [column: string, take: () => Promise<number>];

/** Takes `rounds` samples of each in turn, so that what else the machine does hits all of them. */
export async function takeTurns(
  head: RowHead,
  rounds: number,
  samplers: readonly Sampler[],
): Promise<Row> {
  const samples = new Map<string, number[]>(samplers.map(([column]) => [column, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [column, take] of samplers) samples.get(column)?.push(await take());
  }
  return announce({ ...head, samples });
}

/** Says on stderr that a row is ready: a whole run takes minutes. */
export function announce(row: Row): Row {
  const shown = [...row.samples].map(([column, values]) => `${column} ${figure(median(values))}`);
  console.error(`${row.name}: ${shown.join(", ")} ${row.unit}`);
  return row;
}

export function figure(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en").replaceAll(",", " ");
  return value.toPrecision(3);
}

function withSpread(values: readonly number[]): string {
  const middle = figure(median(values));
  if (values.length < 2) return middle;
  const [low, high] = spread(values);
  return `${middle} (${figure(low)}..${figure(high)})`;
}

/** Everything as a Markdown table: medians with the middle half of the samples, and ours over the other. */
export function markdown(rows: readonly Row[]): string {
  const head = ["what", "unit", "dinovisor", "beside it", "ratio", "target"];
  const cells = rows.flatMap((row) => {
    const mine = ours(row)[1];
    const verdicts = (row.targets ?? []).flatMap((target) => judge(row, target) ?? []);
    const target = verdicts.map(({ text, met }) => `${text}: ${met ? "met" : "MISSED"}`).join("; ");
    const start = [row.name, row.unit, withSpread(mine)];
    const beside = others(row);
    if (beside.length === 0) return [[...start, "", "", target]];
    return beside.map(([column, values], i) => {
      const ratio = (median(mine) / median(values)).toFixed(2);
      return [...start, `${withSpread(values)} ${column}`, ratio, i === 0 ? target : ""];
    });
  });
  const lines = [head, head.map(() => "---"), ...cells];
  return lines.map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** The same for programs. */
export function json(rows: readonly Row[], facts: Readonly<Record<string, unknown>>): string {
  const plain = rows.map((row) => ({
    name: row.name,
    unit: row.unit,
    better: row.better,
    ...(row.step === undefined ? {} : { step: row.step }),
    targets: (row.targets ?? []).flatMap((target) => judge(row, target) ?? []),
    columns: Object.fromEntries(
      [...row.samples].map(([column, values]) => [column, { median: median(values), values }]),
    ),
  }));
  return JSON.stringify({ ...facts, rows: plain }, undefined, 2);
}
