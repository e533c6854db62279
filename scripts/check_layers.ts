/**
 * Enforces the direction of imports (design, section 3) over `deno info --json`.
 * Run by `scripts/test.ts` and by hand: `deno run -A scripts/check_layers.ts`.
 * What is forbidden stands in `layer_rules.ts`. `checkLayers` is a pure function over edges, the rest reads
 * the tree.
 */
import {
  type Layer,
  LAYERS,
  PURITIES,
  RULES,
  VCPU_WORKER,
  VCPU_WORKER_MAY_LOAD,
} from "./layer_rules.ts";

/** `worker`: a literal `new URL("./x.ts", import.meta.url)`, code of another isolate. */
export type EdgeKind = "value" | "type" | "worker";

/** `from` uses `to`; paths from the top of the project, or a specifier such as `npm:x@1`. */
export interface Edge {
  readonly from: string;
  readonly to: string;
  readonly kind: EdgeKind;
}

export interface Violation {
  readonly from: string;
  readonly to: string;
  readonly reason: string;
}

/** All violations among `edges`, sorted; `files` are those that must have a place in LAYERS. */
export function checkLayers(
  edges: readonly Edge[],
  files: readonly string[] = [],
): readonly Violation[] {
  const graph = valueGraph(edges);
  const violations = [
    ...files.flatMap(checkPlace),
    ...edges.flatMap(checkEdge),
    ...checkPurities(graph),
    ...checkVcpuWorker(graph),
    ...checkCycles(graph),
  ];
  return violations.sort((a, b) => text(a) < text(b) ? -1 : 1);
}

/** How a violation is printed. */
export function text({ from, to, reason }: Violation): string {
  return `${from} -> ${to}: ${reason}`;
}

/** The modules the vCPU worker loads; empty while there is none. */
export function vcpuWorkerModules(edges: readonly Edge[]): readonly string[] {
  const graph = valueGraph(edges);
  return graph.has(VCPU_WORKER) ? [...reach(graph, VCPU_WORKER).keys()] : [];
}

function layerOf(path: string): Layer | undefined {
  return LAYERS.find(({ files }) => files.test(path));
}

function checkPlace(file: string): Violation[] {
  if (layerOf(file) !== undefined) return [];
  return [{
    from: file,
    to: "?",
    reason: "the file has no layer; move it, or add its folder to LAYERS in scripts/layer_rules.ts",
  }];
}

function checkEdge(edge: Edge): Violation[] {
  const { from, to, kind } = edge;
  const reasons: string[] = [];
  const lower = layerOf(from);
  const upper = layerOf(to);
  if (lower !== undefined && upper !== undefined && upper.level > lower.level) {
    reasons.push(
      `imports go down only: ${upper.name} (L${upper.level}) stands above ${lower.name} (L${lower.level})`,
    );
  }
  for (const rule of RULES) {
    if (!rule.from.test(from) || !rule.to.test(to)) continue;
    if (rule.exceptFrom?.test(from) === true || rule.exceptTo?.test(to) === true) continue;
    if (rule.typesAllowed === true && kind === "type") continue;
    reasons.push(rule.reason);
  }
  const foreign = foreignDevice(from, to);
  if (foreign !== undefined) reasons.push(foreign);
  return reasons.map((reason) => ({ from, to, reason }));
}

/** Device folders are strangers to each other. (Two patterns cannot say "another folder", so this is code.) */
function foreignDevice(from: string, to: string): string | undefined {
  const mine = /^devices\/([^/]+)\//.exec(from)?.[1];
  const theirs = /^devices\/([^/]+)\//.exec(to)?.[1];
  if (mine === undefined || theirs === undefined || mine === theirs) return undefined;
  return "devices do not know each other; move what they share to src/virtio";
}

type Graph = ReadonlyMap<string, readonly string[]>;

function valueGraph(edges: readonly Edge[]): Graph {
  const graph = new Map<string, string[]>();
  for (const { from, to, kind } of edges) {
    if (kind !== "value") continue;
    const targets = graph.get(from) ?? [];
    targets.push(to);
    graph.set(from, targets);
  }
  return graph;
}

/** Every module that loading `start` loads, each with the module it was first met from. */
function reach(graph: Graph, start: string): ReadonlyMap<string, string | undefined> {
  const cameFrom = new Map<string, string | undefined>([[start, undefined]]);
  // A Map's iterator also visits what is added on the way: breadth first.
  for (const module of cameFrom.keys()) {
    for (const next of graph.get(module) ?? []) {
      if (!cameFrom.has(next)) cameFrom.set(next, module);
    }
  }
  return cameFrom;
}

function pathTo(cameFrom: ReadonlyMap<string, string | undefined>, target: string): string[] {
  const path: string[] = [];
  for (let at: string | undefined = target; at !== undefined; at = cameFrom.get(at)) {
    path.unshift(at);
  }
  return path;
}

function checkPurities(graph: Graph): Violation[] {
  const violations: Violation[] = [];
  for (const { from, exceptFrom, to, reason } of PURITIES) {
    for (const start of graph.keys()) {
      if (!from.test(start) || exceptFrom?.test(start) === true) continue;
      const cameFrom = reach(graph, start);
      const target = [...cameFrom.keys()].find((module) => to.test(module));
      if (target === undefined) continue;
      const path = pathTo(cameFrom, target);
      // A direct edge is reported by RULES.
      if (path.length > 2) {
        violations.push({ from: start, to: target, reason: `${reason} (${path.join(" -> ")})` });
      }
    }
  }
  return violations;
}

function checkVcpuWorker(graph: Graph): Violation[] {
  const cameFrom = reach(graph, VCPU_WORKER);
  const violations: Violation[] = [];
  for (const [module, importer] of cameFrom) {
    if (importer === undefined || VCPU_WORKER_MAY_LOAD.test(module)) continue;
    // What a stranger brings along is its fault: one line for it is enough.
    if (importer !== VCPU_WORKER && !VCPU_WORKER_MAY_LOAD.test(importer)) continue;
    violations.push({
      from: importer,
      to: module,
      reason: `the vCPU worker must load little, and loads this (${
        pathTo(cameFrom, module).join(" -> ")
      }); import its types only, or take the value as an argument`,
    });
  }
  return violations;
}

/** Modules that load each other; each is named in one cycle at most. */
function checkCycles(graph: Graph): Violation[] {
  const violations: Violation[] = [];
  const seen = new Set<string>();
  for (const start of [...graph.keys()].sort()) {
    if (seen.has(start)) continue;
    const cameFrom = reach(graph, start);
    const last = [...cameFrom.keys()].find((module) => graph.get(module)?.includes(start) === true);
    if (last === undefined) continue;
    const path = pathTo(cameFrom, last);
    for (const module of path) seen.add(module);
    violations.push({
      from: last,
      to: start,
      reason: `import cycle (${
        [...path, start].join(" -> ")
      }); move what they share to a third file`,
    });
  }
  return violations;
}

// --- Reading the tree ---

const ROOT = new URL("../", import.meta.url);
const FOLDERS = ["src", "devices", "transports"];
const ENTRY_FILES = ["main.ts"];

/** What we read of `deno info --json`. */
interface InfoDependency {
  readonly specifier: string;
  readonly code?: { readonly specifier?: string; readonly error?: string };
  readonly type?: { readonly specifier?: string; readonly error?: string };
}
interface InfoModule {
  readonly specifier: string;
  readonly error?: string;
  readonly dependencies?: readonly InfoDependency[];
}
interface Info {
  readonly modules: readonly InfoModule[];
}

/** True when every import of `specifier` in `source` names types only: `import type …`, `import { type A }`. */
export function importsTypesOnly(source: string, specifier: string): boolean {
  const quoted = `["']${specifier.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}["']`;
  if (new RegExp(`\\bimport\\s*\\(?\\s*${quoted}`).test(source)) return false;
  const statements = [
    ...source.matchAll(
      new RegExp(`^(?:import|export)\\s+([^"';]*?)\\s*\\bfrom\\s*${quoted}`, "gm"),
    ),
  ];
  return statements.length > 0 && statements.every(([, clause = ""]) => {
    if (/^type\b(?!\s*,)/.test(clause)) return true;
    const names = /^\{([^}]*)\}$/.exec(clause)?.[1]?.split(",").map((name) => name.trim());
    return names?.every((name) => name === "" || /^type\s/.test(name)) === true;
  });
}

/** Worker files named by a literal `new URL("./x.ts", import.meta.url)`. */
export function workerSpecifiers(source: string): string[] {
  const literal = /new\s+URL\(\s*["'](\.{1,2}\/[^"']+\.ts)["']\s*,\s*import\.meta\.url\s*,?\s*\)/g;
  return [...source.matchAll(literal)].map(([, specifier = ""]) => specifier);
}

async function typescriptFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  try {
    for await (const entry of Deno.readDir(new URL(`${folder}/`, ROOT))) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) files.push(...await typescriptFiles(path));
      else if (entry.name.endsWith(".ts")) files.push(path);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return files.sort();
}

async function entryPoints(): Promise<string[]> {
  const files: string[] = [];
  for (const folder of FOLDERS) files.push(...await typescriptFiles(folder));
  for await (const entry of Deno.readDir(ROOT)) {
    if (entry.isFile && ENTRY_FILES.includes(entry.name)) files.push(entry.name);
  }
  return files;
}

/** `deno info` takes one file, so the entry points become the imports of a made-up one. */
async function denoInfo(files: readonly string[]): Promise<Info> {
  const directory = await Deno.makeTempDir({ prefix: "dinovisor_layers_" });
  try {
    const entry = `${directory}/entries.ts`;
    const imports = files.map((file) => `import ${JSON.stringify(new URL(file, ROOT).href)};\n`);
    await Deno.writeTextFile(entry, imports.join(""));
    const config = new URL("deno.json", ROOT).pathname;
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--no-lock", "--config", config, entry],
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    if (!success) throw new Error(`deno info failed: ${new TextDecoder().decode(stderr)}`);
    return JSON.parse(new TextDecoder().decode(stdout)) as Info;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function projectPath(specifier: string): string {
  if (specifier.startsWith(ROOT.href)) return specifier.slice(ROOT.href.length);
  return specifier.replace(/^npm:\//, "npm:");
}

async function readEdges(): Promise<{ edges: Edge[]; files: string[]; broken: Violation[] }> {
  const files = await entryPoints();
  const info = await denoInfo(files);
  const isOurs = new Set(files);
  // deno info cannot read text and bytes imports; they are leaves, so nothing is lost.
  const errors = new Map(
    info.modules.filter(({ error }) => error !== undefined && !error.includes("import attribute"))
      .map(({ specifier, error = "" }) => [specifier, error.replaceAll("\n", " ")]),
  );
  const known = new Set(info.modules.map(({ specifier }) => specifier));
  const edges: Edge[] = [];
  const broken: Violation[] = [];
  for (const module of info.modules) {
    const from = projectPath(module.specifier);
    if (!isOurs.has(from)) continue;
    const source = await Deno.readTextFile(new URL(module.specifier));
    for (const { specifier, code, type } of module.dependencies ?? []) {
      const target = code?.specifier ?? type?.specifier;
      const error = code?.error ?? type?.error;
      if (target === undefined) {
        broken.push({ from, to: specifier, reason: error ?? "cannot be resolved" });
        continue;
      }
      const missing = errors.get(target);
      if (missing !== undefined) broken.push({ from, to: specifier, reason: missing });
      const typeOnly = code === undefined || importsTypesOnly(source, specifier);
      edges.push({ from, to: projectPath(target), kind: typeOnly ? "type" : "value" });
    }
    for (const specifier of workerSpecifiers(source)) {
      const worker = new URL(specifier, module.specifier).href;
      edges.push({ from, to: projectPath(worker), kind: "worker" });
      if (!known.has(worker)) {
        broken.push({ from, to: specifier, reason: "there is no such worker file in the graph" });
      }
    }
  }
  return { edges, files, broken };
}

async function main(): Promise<number> {
  const { edges, files, broken } = await readEdges();
  const violations = [...broken, ...checkLayers(edges, files)];
  for (const violation of violations) console.log(text(violation));
  if (violations.length > 0) {
    console.error(`check_layers: ${violations.length} forbidden imports; see design.md section 3`);
    return 1;
  }
  const worker = vcpuWorkerModules(edges).length;
  const workerText = worker === 0 ? "no vCPU worker yet" : `the vCPU worker loads ${worker}`;
  console.log(
    `check_layers: ${files.length} modules, ${edges.length} imports, ${RULES.length} rules: all in order; ${workerText}`,
  );
  return 0;
}

if (import.meta.main) Deno.exit(await main());
