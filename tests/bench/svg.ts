/** The plot: a bar for every ratio, a line for everything that grows. Plain SVG, light and dark. Used by `main.ts`. */
import { figure, median, others, ours, type Row } from "./table.ts";

const WIDTH = 960;
const MARGIN = 20;
const BAR_LEFT = 400;
const BAR_RIGHT = 860;
const BAR_STEP = 24;
const HEAD = 64;
/** Ratios from a quarter to four times, on a logarithmic scale: twice as good and twice as bad look alike. */
const RANGE = Math.log(4);
const CHART_WIDTH = 290;
const CHART_HEIGHT = 240;
const CHARTS_IN_ROW = 3;
const LEGEND_STEP = 104;

/** Custom properties are not known to every renderer, so colours are classes with a rule each. */
const STYLE = `
text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 } .small { font-size: 11px; fill: #59636e }
.paper { fill: #ffffff } .axis { stroke: #8b949e } .grid { stroke: #d8dee4 }
.good { fill: #2da44e } .bad { fill: #cf5b3f }
.l0 { stroke: #0969da; fill: none } .l1 { stroke: #bc6a00; fill: none } .l2 { stroke: #8250df; fill: none }
.p0 { fill: #0969da } .p1 { fill: #bc6a00 } .p2 { fill: #8250df }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .paper { fill: #0d1117 } .grid { stroke: #30363d }
  .good { fill: #3fb950 } .bad { fill: #f0795a }
  .l0 { stroke: #58a6ff } .l1 { stroke: #e3a04a } .l2 { stroke: #bc8cff }
  .p0 { fill: #58a6ff } .p1 { fill: #e3a04a } .p2 { fill: #bc8cff }
}`;

export function svg(rows: readonly Row[], caption: string): string {
  const [bars, barsEnd] = ratioBars(rows, HEAD);
  const [charts, end] = growthCharts(rows, barsEnd);
  const height = end + MARGIN;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" ` +
    `height="${height}"><style>${STYLE}</style>\n<rect class="paper" width="100%" height="100%"/>\n` +
    `${text(MARGIN, 30, "dinovisor beside others, same run", "title")}\n` +
    `${text(MARGIN, 48, caption, "small")}\n${bars}\n${charts}\n</svg>\n`;
}

function escape(plain: string): string {
  return plain.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function text(x: number, y: number, plain: string, kind = "", anchor = "start"): string {
  return `<text x="${x}" y="${y}" class="${kind}" text-anchor="${anchor}">${escape(plain)}</text>`;
}

/** Our figure over another column's, turned so that more than 1 is better. */
interface Ratio {
  readonly label: string;
  readonly times: number;
}

/** Every ratio of every row that has columns beside ours. */
export function ratios(rows: readonly Row[]): Ratio[] {
  return rows.flatMap((row) => {
    const mine = median(ours(row)[1]);
    return others(row).map(([column, values]) => {
      const plain = mine / median(values);
      return {
        label: `${row.name} / ${column}`,
        times: row.better === "more" ? plain : 1 / plain,
      };
    }).filter(({ times }) => Number.isFinite(times) && times > 0);
  });
}

function ratioBars(rows: readonly Row[], top: number): readonly [string, number] {
  const shown = ratios(rows);
  if (shown.length === 0) return ["", top];
  const middle = (BAR_LEFT + BAR_RIGHT) / 2;
  const scale = (BAR_RIGHT - BAR_LEFT) / 2 / RANGE;
  const bottom = top + 24 + shown.length * BAR_STEP;
  const out = [0.25, 0.5, 1, 2, 4].map((at) => {
    const x = middle + Math.log(at) * scale;
    const line = `<line class="${at === 1 ? "axis" : "grid"}" x1="${x}" x2="${x}" ` +
      `y1="${top + 20}" y2="${bottom}"/>`;
    return line + text(x, top + 14, at === 1 ? "equal" : `${at}×`, "small", "middle");
  });
  out.push(text(BAR_RIGHT + 90, top + 14, "better →", "small", "end"));
  shown.forEach(({ label, times }, i) => {
    const y = top + 26 + i * BAR_STEP;
    const reach = Math.max(-RANGE, Math.min(RANGE, Math.log(times))) * scale;
    const x = Math.min(middle, middle + reach);
    const side = reach < 0 ? "bad" : "good";
    out.push(
      text(BAR_LEFT - 12, y + 13, label, "", "end"),
      `<rect class="${side}" x="${x}" y="${y + 2}" width="${
        Math.max(1, Math.abs(reach))
      }" height="14" rx="2"/>`,
      text(BAR_RIGHT + 90, y + 13, `${times.toFixed(2)}×`, "", "end"),
    );
  });
  return [out.join("\n"), bottom + MARGIN];
}

function growthCharts(rows: readonly Row[], top: number): readonly [string, number] {
  const series = Map.groupBy(rows.filter(({ step }) => step), ({ step }) => step?.series ?? "");
  const charts = [...series].filter(([, steps]) => steps.length > 1);
  if (charts.length === 0) return ["", top];
  const out = charts.map(([title, steps], i) => {
    const left = MARGIN + (i % CHARTS_IN_ROW) * (CHART_WIDTH + MARGIN);
    return chart(title, steps, left, top + Math.floor(i / CHARTS_IN_ROW) * (CHART_HEIGHT + MARGIN));
  });
  const lines = Math.ceil(charts.length / CHARTS_IN_ROW);
  return [out.join("\n"), top + lines * (CHART_HEIGHT + MARGIN)];
}

/** One series: x evenly spaced (they double), y from zero. */
function chart(title: string, rows: readonly Row[], left: number, top: number): string {
  const columns = [...new Set(rows.flatMap(({ samples }) => [...samples.keys()]))];
  const value = (row: Row, column: string) => median(row.samples.get(column) ?? []);
  const all = rows.flatMap((row) => columns.map((column) => value(row, column))).filter(
    Number.isFinite,
  );
  const highest = Math.max(...all, Number.MIN_VALUE);
  const [bottom, height, first] = [top + 196, 140, left + 62];
  const gap = (CHART_WIDTH - 90) / Math.max(1, rows.length - 1);
  const y = (v: number) => bottom - v / highest * height;
  const [head] = rows;
  const subtitle = `${head?.unit} by ${head?.step?.axis}, ${head?.better} is better`;
  const out = [
    text(left, top + 16, title),
    text(left, top + 32, subtitle, "small"),
    ...[0, 0.5, 1].map((share) =>
      `<line class="${share === 0 ? "axis" : "grid"}" x1="${first - 8}" x2="${
        left + CHART_WIDTH
      }" ` +
      `y1="${y(highest * share)}" y2="${y(highest * share)}"/>` +
      text(
        first - 12,
        y(highest * share) + 4,
        share === 0 ? "0" : figure(highest * share),
        "small",
        "end",
      )
    ),
    ...rows.map((row, i) =>
      text(first + i * gap, bottom + 16, `${row.step?.x}`, "small", "middle")
    ),
  ];
  columns.slice(0, 3).forEach((column, c) => {
    const points = rows.map((row, i) => [first + i * gap, y(value(row, column))] as const)
      .filter(([, at]) => Number.isFinite(at));
    out.push(
      `<polyline class="l${c}" stroke-width="2" points="${
        points.map((p) => p.join(",")).join(" ")
      }"/>`,
      ...points.map(([px, py]) => `<circle class="p${c}" cx="${px}" cy="${py}" r="3"/>`),
      `<rect class="p${c}" x="${left + c * LEGEND_STEP}" y="${
        bottom + 24
      }" width="10" height="10"/>`,
      text(left + 14 + c * LEGEND_STEP, bottom + 33, column, "small"),
    );
  });
  return out.join("\n");
}
