/** In which order modules are loaded, so that each finds what it needs. */
import { InitramfsError } from "./errors.ts";
import type { ModuleInfo } from "./modinfo.ts";

/** The part of {@linkcode ModuleInfo} that decides about the order. */
export type ModuleNeeds = Pick<ModuleInfo, "depends" | "before" | "after">;

/**
 * Orders `modules`: dependencies first, else as they come in the map. Soft dependencies are kept too, as far as
 * that leads in no circle. Names that are not in the map do not matter here.
 *
 * @throws {InitramfsError} when modules depend on each other in a circle, naming them
 */
export function loadOrder(modules: ReadonlyMap<string, ModuleNeeds>): string[] {
  const hard = new Map<string, Set<string>>();
  const soft = new Map<string, Set<string>>();
  for (const [name, { depends, before, after }] of modules) {
    for (const needed of depends) addEdge(hard, modules, name, needed);
    for (const needed of before) addEdge(soft, modules, name, needed);
    for (const later of after) addEdge(soft, modules, later, name);
  }
  const waiting = new Set(modules.keys());
  const order: string[] = [];
  const isFree = (edges: Map<string, Set<string>>, name: string): boolean =>
    !edges.get(name)?.values().some((needed) => waiting.has(needed));
  while (waiting.size > 0) {
    const able = [...waiting].filter((name) => isFree(hard, name));
    const next = able.find((name) => isFree(soft, name)) ?? able[0];
    if (next === undefined) throw circle(hard, waiting);
    waiting.delete(next);
    order.push(next);
  }
  return order;
}

function addEdge(
  edges: Map<string, Set<string>>,
  modules: ReadonlyMap<string, unknown>,
  name: string,
  needed: string,
): void {
  if (!modules.has(name) || !modules.has(needed)) return;
  const known = edges.get(name);
  if (known === undefined) edges.set(name, new Set([needed]));
  else known.add(needed);
}

/** Everything in `waiting` waits for something in it, so going from one to the next comes round. */
function circle(
  hard: ReadonlyMap<string, ReadonlySet<string>>,
  waiting: ReadonlySet<string>,
): InitramfsError {
  const way: string[] = [];
  let [name = ""] = waiting;
  while (!way.includes(name)) {
    way.push(name);
    name = [...hard.get(name) ?? []].find((needed) => waiting.has(needed)) ?? "";
  }
  const names = [...way.slice(way.indexOf(name)), name].join(" -> ");
  return new InitramfsError(
    `Cannot order modules: they need each other: ${names}`,
    "INITRD_MODULE_CYCLE",
    { hint: "unpack the kernel's package again: no kernel is built like this" },
  );
}
