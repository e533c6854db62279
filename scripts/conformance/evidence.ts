/** Which tests name which ids, from what `deno test` prints. Pure; called by `scripts/conformance.ts`. */
import { endedTest } from "../test_output.ts";

/** What happened to the tests that name an id. */
export interface Evidence {
  /** Names of tests that passed, and of those that failed. */
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  /** Names of tests that did not run, with the reason in them. */
  readonly ignored: readonly string[];
}

/** `MMIO-01`, and `to MMIO-06` or `to 06` behind it. */
const IDS = /\b([A-Z][A-Z0-9]*(?:-[A-Z][A-Z0-9]*)*)-(\d+)\b(?: to (?:\1-)?(\d+)\b)?/g;

/** Ids in the name of a test; a range stands for all its numbers. */
export function idsIn(name: string): string[] {
  return [...name.matchAll(IDS)].flatMap(([, group = "", first = "", last]) => {
    const [from, to] = [Number(first), Number(last ?? first)];
    return Array.from(
      { length: Math.max(0, to - from) + 1 },
      (_, i) => `${group}-${String(from + i).padStart(first.length, "0")}`,
    );
  });
}

/** By id. The text is that of Deno's default reporter. */
export function readEvidence(output: string): ReadonlyMap<string, Evidence> {
  const found = new Map<string, Record<keyof Evidence, string[]>>();
  for (const line of output.split("\n")) {
    const ended = endedTest(line);
    if (ended === undefined) continue;
    const { name, result } = ended;
    for (const id of idsIn(name)) {
      const evidence = found.get(id) ?? { passed: [], failed: [], ignored: [] };
      const list = result === "ok" ? "passed" : result === "FAILED" ? "failed" : "ignored";
      evidence[list].push(name);
      found.set(id, evidence);
    }
  }
  return found;
}
