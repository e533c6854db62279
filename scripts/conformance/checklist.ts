/** Reads `tests/conformance/checklist.md`. Pure; called by `scripts/conformance.ts`. */

export type Level = "MUST" | "SHOULD" | "MAY" | "DESC" | "IMPL";

/** One row of the checklist. */
export interface Requirement {
  readonly id: string;
  /** What is before the number: `BF-STAT`. */
  readonly group: string;
  readonly level: Level;
  /** Section number of virtio 1.4. */
  readonly clause: string;
  readonly text: string;
}

const ROW =
  /^\| ([A-Z][A-Z0-9-]*)-(\d+) +\| (MUST|SHOULD|MAY|DESC|IMPL) +\| ([^|]*?) +\| (.*?) +\|$/;
/** The rows in their order. Throws Error when an id comes twice, or a table row cannot be read. */
export function parseChecklist(markdown: string): Requirement[] {
  const found = new Map<string, Requirement>();
  for (const line of markdown.split("\n")) {
    const row = ROW.exec(line);
    if (row === null) {
      if (/^\| (?!id |-)/.test(line)) throw new Error(`Cannot read the row "${line}"`);
      continue;
    }
    const [, group = "", number = "", level, clause = "", text = ""] = row;
    const id = `${group}-${number}`;
    if (found.has(id)) throw new Error(`${id} comes twice`);
    found.set(id, { id, group, level: level as Level, clause, text });
  }
  return [...found.values()];
}
