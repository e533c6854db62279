/**
 * Regression budgets (`budgets.json`): bounds on ratios to a column of the same row of the same run, never on times,
 * so that they hold on every host. Used by `main.ts --check`.
 */
import { judge, type Row, type Target } from "./table.ts";

/** By the name of a row. */
export type Budgets = Readonly<Record<string, Target & { readonly against: string }>>;

/** One line for every budget that a measured row breaks. Rows and columns not measured break none. */
export function brokenBudgets(rows: readonly Row[], budgets: Budgets): string[] {
  return rows.flatMap((row) => {
    const budget = budgets[row.name];
    const verdict = budget === undefined ? undefined : judge(row, budget);
    if (verdict === undefined || verdict.met) return [];
    return [`${row.name}: ${verdict.value.toFixed(2)}, the budget is ${verdict.text}`];
  });
}

/** How many budgets `rows` can be held against: with none, a check would pass for want of anything to check. */
export function budgetsApplied(rows: readonly Row[], budgets: Budgets): number {
  return rows.filter((row) => {
    const budget = budgets[row.name];
    return budget !== undefined && judge(row, budget) !== undefined;
  }).length;
}
