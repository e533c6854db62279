/** The command line: finds the command, runs its page, turns what is thrown into an error line. */
import { onCrash } from "./crash.ts";
import { type ErrorStyle, printProblems, problemsOf } from "./errors.ts";
import { STATUS_ERROR } from "./exit_status.ts";
import { type CommandName, COMMANDS } from "./flags.ts";
import { commandHelp, overviewHelp } from "./help.ts";
import { writeError, writeResult } from "./output.ts";
import { asksFor, didYouMean } from "./parse.ts";
import { restoreTerminal } from "./terminal.ts";

/** A command: gets the words after its name, returns the exit status, throws what went wrong. */
export type Page = (words: readonly string[]) => number | Promise<number>;

/** Runs the command line `args`, with the command's page from `pageOf`; resolves to the exit status. Never rejects. */
export async function main(
  args: readonly string[],
  pageOf: (command: CommandName) => Promise<Page>,
): Promise<number> {
  const style: ErrorStyle = { json: asksFor(args, "json"), verbose: asksFor(args, "verbose") };
  // It must not leave the terminal raw, nor look like a guest's exit status.
  using _crashes = onCrash((error) => Deno.exit(failed(error, style)));
  try {
    const command = findCommand(args);
    if (command === undefined) return withoutCommand(args, style);
    const words = args.slice(command.split(" ").length);
    if (asksFor(words, "help")) {
      writeResult(commandHelp(command));
      return 0;
    }
    return await (await pageOf(command))(words);
  } catch (error) {
    return failed(error, style);
  }
}

function failed(error: unknown, style: ErrorStyle): number {
  restoreTerminal();
  printProblems(problemsOf(error), style);
  return STATUS_ERROR;
}

/** The command that `args` begin with; names of two words come before their first word. */
export function findCommand(args: readonly string[]): CommandName | undefined {
  return COMMANDS.map((command) => command.name)
    .find((name) => name.split(" ").every((word, index) => args[index] === word));
}

/** No command at all, an unknown one, or the two flags people try without one. */
function withoutCommand(args: readonly string[], style: ErrorStyle): number {
  const [first] = args;
  if (first === undefined) {
    writeError(overviewHelp());
    return STATUS_ERROR;
  }
  if (first === "--help" || first === "-h") {
    writeResult(overviewHelp());
    return 0;
  }
  const [message, hint] = first.startsWith("-")
    ? [`Flag ${first} comes before any command`, `the command is first: ${correction(args)}`]
    : [`Unknown command "${args.slice(0, 2).join(" ")}"`, commandHint(args)];
  printProblems([{ field: first, code: "COMMAND_UNKNOWN", message, hint }], style);
  return STATUS_ERROR;
}

function correction(args: readonly string[]): string {
  if (args[0] === "--version" || args[0] === "-V") return "dinovisor version";
  return `dinovisor run ${args.join(" ")}`;
}

function commandHint(args: readonly string[]): string {
  const [first = ""] = args;
  const names = COMMANDS.map((command) => command.name);
  const inGroup = names.filter((name) => name.startsWith(`${first} `));
  if (inGroup.length > 0) return `choose from: ${inGroup.join(", ")}`;
  const meant = didYouMean(first, names);
  const all = "all commands: dinovisor help";
  return meant === undefined ? all : `${meant} ${all}`;
}
