/** A guest that does not do what its test expects. */
import { VmError, type VmErrorOptions } from "../sandbox/errors.ts";
import { visible } from "./console_text.ts";

/** Lines of the console that a failure shows. */
const SHOWN_LINES = 20;

/** Thrown by the assertions and waits of a test. Its message shows the hint and the last lines of the console. */
export class GuestFailure extends VmError {
  /** Its class, for people. */
  override readonly name: string = "GuestFailure";

  /** What the guest has printed. */
  readonly consoleText: string;

  /** `consoleText`: what the guest has printed. */
  constructor(message: string, code: string, consoleText: string, options?: VmErrorOptions) {
    const hint = options?.hint === undefined ? "" : `\nhint: ${options.hint}`;
    super(`${message}\n${lastLines(consoleText)}${hint}`, code, options);
    this.consoleText = consoleText;
  }
}

function lastLines(text: string): string {
  const lines = visible(text.trimEnd()).split("\n");
  if (text.trim() === "") return "its console is empty";
  const shown = lines.slice(-SHOWN_LINES).map((line) => `  | ${line}`.trimEnd());
  const what = lines.length > shown.length
    ? `the last ${shown.length} of ${lines.length} lines`
    : "all";
  return `its console, ${what}:\n${shown.join("\n")}`;
}
