/**
 * Reads what `deno test` prints with its default reporter. Called by `scripts/test.ts`.
 * Why not JUnit: that file is written at the very end, so it is missing when the process dies, and it leaves
 * out files that throw while loading; the summary line has neither gap.
 */

export interface TestReport {
  /** False when the process ended before its summary; the numbers are then what was seen until then. */
  readonly complete: boolean;
  readonly passed: number;
  readonly failed: number;
  readonly ignored: number;
  /** `name => ./file:line:column`, one each. */
  readonly failures: readonly string[];
  /** The files that had begun, as they were given on the command line. */
  readonly files: readonly string[];
  /** The test that had begun and not ended, if any. */
  readonly running: string | undefined;
}

// deno-lint-ignore no-control-regex
const ANSI = /\x1b\[[0-9;]*m/g;
/** What tests print themselves stands between two such lines. */
const OUTPUT_BEGINS = /^-+ (?:pre-test |post-test )?output -+$/;
const OUTPUT_ENDS = /^-+ (?:pre-test |post-test )?output end -+$/;
const FILE_BEGINS = /^running \d+ tests? from (?:\.\/)?(.+)$/;
const FILE_FAILS = /^Uncaught error from (?:\.\/)?(.+) FAILED$/;
const TEST_BEGINS = /^(\S.*) \.\.\.(?:$| )/;
const TEST_ENDS = /^(\S.*) \.\.\. (?:.* )?(ok|FAILED|ignored)(?: \(.*\))*$/;
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed(?: \([^)]*\))?(?: \| (\d+) ignored(?: \([^)]*\))?)?/;

/** The test that ends with this line, and how; undefined for every other line. */
export function endedTest(
  colored: string,
): { readonly name: string; readonly result: "ok" | "FAILED" | "ignored" } | undefined {
  const [, name, result] = TEST_ENDS.exec(colored.replace(ANSI, "").trimEnd()) ?? [];
  if (name === undefined) return undefined;
  return { name, result: result as "ok" | "FAILED" | "ignored" };
}

/** Takes the lines of one `deno test` run and says what happened. */
export class PrettyOutput {
  #passed = 0;
  #failed = 0;
  #ignored = 0;
  #complete = false;
  #inFailures = false;
  #inOutput = false;
  #running: string | undefined;
  readonly #files: string[] = [];
  readonly #seenFailing: string[] = [];
  readonly #listed: string[] = [];

  line(colored: string): void {
    const line = colored.replace(ANSI, "").trimEnd();
    if (OUTPUT_BEGINS.test(line)) this.#inOutput = true;
    else if (OUTPUT_ENDS.test(line)) this.#inOutput = false;
    if (this.#inOutput || this.#takeSummary(line)) return;
    if (line === " FAILURES") {
      this.#inFailures = true;
      this.#listed.length = 0;
    } else if (this.#inFailures) {
      if (line !== "") this.#listed.push(line);
    } else this.#takeProgress(line);
  }

  report(): TestReport {
    return {
      complete: this.#complete,
      passed: this.#passed,
      failed: this.#failed,
      ignored: this.#ignored,
      failures: this.#complete ? this.#listed : this.#seenFailing,
      files: this.#files,
      running: this.#complete ? undefined : this.#running,
    };
  }

  #takeSummary(line: string): boolean {
    const summary = SUMMARY.exec(line);
    if (summary === null) return false;
    this.#complete = true;
    this.#inFailures = false;
    this.#passed = Number(summary[1]);
    this.#failed = Number(summary[2]);
    this.#ignored = Number(summary[3] ?? 0);
    return true;
  }

  #takeProgress(line: string): void {
    const file = FILE_BEGINS.exec(line)?.[1] ?? FILE_FAILS.exec(line)?.[1];
    if (file !== undefined) this.#files.push(file);
    const [, name, result] = TEST_ENDS.exec(line) ?? [];
    const place = this.#files.at(-1) ?? "?";
    if (result === undefined) {
      const begun = TEST_BEGINS.exec(line)?.[1];
      if (begun !== undefined) this.#running = `${begun} => ./${place}`;
      return;
    }
    this.#running = undefined;
    if (result === "ok") this.#passed++;
    else if (result === "ignored") this.#ignored++;
    else {
      this.#failed++;
      this.#seenFailing.push(`${name} => ./${place}`);
    }
  }
}
