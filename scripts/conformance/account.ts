/** Puts checklist, tests and decisions together. Pure; called by `scripts/conformance.ts`. */
import type { Decision, Verdict } from "../../tests/conformance/decisions.ts";
import type { Requirement } from "./checklist.ts";
import type { Evidence } from "./evidence.ts";

/** One requirement and how it stands. */
export interface Account {
  readonly requirement: Requirement;
  readonly state: "tested" | "failed" | "unaccounted" | Verdict;
  /** How many tests that name it passed. */
  readonly tests: number;
  /** Of a decision: why. Of a failure: which tests. */
  readonly why: string;
}

export interface Accounts {
  readonly rows: readonly Account[];
  /** What is wrong with the books themselves, as sentences. */
  readonly problems: readonly string[];
}

/** Every requirement once, in the order of the checklist. */
export function account(
  checklist: readonly Requirement[],
  evidence: ReadonlyMap<string, Evidence>,
  decisions: readonly Decision[],
): Accounts {
  const problems: string[] = [];
  const decided = new Map<string, Decision>();
  const byGroup = new Map<string, Decision>();
  const known = new Set(checklist.map(({ id }) => id));
  const groups = new Set(checklist.map(({ group }) => group));
  for (const decision of decisions) {
    for (const name of decision.ids) {
      const group = name.endsWith("-*") ? name.slice(0, -2) : undefined;
      const into = group === undefined ? decided : byGroup;
      if (into.has(group ?? name)) problems.push(`${name} is decided twice.`);
      if (group === undefined ? !known.has(name) : !groups.has(group)) {
        problems.push(`${name} is decided, and not on the checklist.`);
      }
      into.set(group ?? name, decision);
    }
  }
  const rows = checklist.map((requirement): Account => {
    const { passed = [], failed = [] } = evidence.get(requirement.id) ?? {};
    const decision = decided.get(requirement.id);
    if (decision !== undefined && passed.length + failed.length > 0) {
      problems.push(`${requirement.id} is decided (${decision.verdict}), and tested as well.`);
    }
    if (failed.length > 0) {
      return { requirement, state: "failed", tests: passed.length, why: failed.join("; ") };
    }
    if (passed.length > 0) return { requirement, state: "tested", tests: passed.length, why: "" };
    const { verdict, why } = decision ?? byGroup.get(requirement.group) ?? {};
    if (verdict === undefined || why === undefined) {
      problems.push(`${requirement.id} has neither a test nor a decision.`);
      return { requirement, state: "unaccounted", tests: 0, why: "" };
    }
    return { requirement, state: verdict, tests: 0, why };
  });
  return { rows, problems };
}

/** How many rows are in each state. */
export function countStates(rows: readonly Account[]): ReadonlyMap<Account["state"], number> {
  const counts = new Map<Account["state"], number>();
  for (const { state } of rows) counts.set(state, (counts.get(state) ?? 0) + 1);
  return counts;
}
