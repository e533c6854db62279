/** The report as text, Markdown and JSON. Pure; called by `scripts/conformance.ts`. */
import { type Account, type Accounts, countStates } from "./account.ts";

const STATES: readonly Account["state"][] = [
  "tested",
  "by construction",
  "not applicable",
  "open",
  "failed",
  "unaccounted",
];

/** A line for each group, the sums, and everything that is open or wrong. */
export function renderText({ rows, problems }: Accounts): string {
  const groups = [...new Set(rows.map(({ requirement }) => requirement.group))];
  const lines = groups.map((group) => {
    const counts = countStates(rows.filter(({ requirement }) => requirement.group === group));
    return `${group.padEnd(9)} ${sums(counts)}`;
  });
  const notable = rows.filter(({ state }) => state === "open" || state === "failed")
    .map(({ requirement, state, why }) => `${requirement.id} ${state}: ${why}`);
  const total = `${"all".padEnd(9)} ${sums(countStates(rows))}`;
  return [...lines, total, "", ...notable, ...problems].join("\n").trimEnd();
}

function sums(counts: ReadonlyMap<Account["state"], number>): string {
  return STATES.filter((state) => counts.has(state))
    .map((state) => `${counts.get(state)} ${state}`).join(", ");
}

/** Every requirement with its state, as one table for each group. */
export function renderMarkdown({ rows }: Accounts): string {
  const lines = ["# Conformance", "", `${sums(countStates(rows))}.`];
  let group = "";
  for (const { requirement, state, tests, why } of rows) {
    if (requirement.group !== group) {
      group = requirement.group;
      lines.push("", `## ${group}`, "");
      lines.push(
        "| id | level | clause | requirement | state |",
        "| --- | --- | --- | --- | --- |",
      );
    }
    const { id, level, clause, text } = requirement;
    const shown = state === "tested" ? `tested (${tests})` : `${state}: ${why}`;
    lines.push(`| ${id} | ${level} | ${clause} | ${text} | ${shown} |`);
  }
  return lines.join("\n") + "\n";
}

/** The same for programs: `{ counts, requirements: [{ id, level, clause, text, state, tests, why }] }`. */
export function renderJson({ rows }: Accounts): string {
  const requirements = rows.map(({ requirement: { group: _, ...rest }, state, tests, why }) => ({
    ...rest,
    state,
    tests,
    why,
  }));
  return JSON.stringify({ counts: Object.fromEntries(countStates(rows)), requirements }, null, 2) +
    "\n";
}
