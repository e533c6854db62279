/**
 * What came of each case with each guest kernel on this host, one JSON object a line in the file that
 * DINOVISOR_CASE_LOG names: the rows of the table host kind × kernel × case.
 */
import { HOST_KIND } from "./host_kind.ts";

/** One row. */
export interface CaseResult {
  readonly case: string;
  readonly kernel: string;
  readonly result: "pass" | "fail" | "not possible";
  readonly seconds?: number;
  /** Why it failed or is not possible. */
  readonly reason?: string;
}

/** Appends a row, if somebody wants to know. */
export function recordCase(row: CaseResult): void {
  const path = Deno.env.get("DINOVISOR_CASE_LOG");
  if (!path) return;
  const line = JSON.stringify({ host: HOST_KIND, ...row });
  Deno.writeTextFileSync(path, `${line}\n`, { append: true });
}

/** Runs `work` and appends what came of it. */
export async function recorded<T>(name: string, kernel: string, work: Promise<T>): Promise<T> {
  const begin = performance.now();
  const seconds = (): number => Math.round((performance.now() - begin) / 100) / 10;
  try {
    const value = await work;
    recordCase({ case: name, kernel, result: "pass", seconds: seconds() });
    return value;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    recordCase({ case: name, kernel, result: "fail", seconds: seconds(), reason });
    throw error;
  }
}
