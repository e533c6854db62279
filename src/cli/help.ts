/** Help texts, derived from the table in `flags.ts`. */
import { ProblemsFound } from "./errors.ts";
import { type CommandName, commandOf, COMMANDS, type Flag, flagsOf } from "./flags.ts";
import { writeResult } from "./output.ts";
import { didYouMean, parseWords } from "./parse.ts";

/** Flags wider than this get their help on a line of its own. */
const FLAG_COLUMN = 34;

/** `dinovisor help [COMMAND]`. */
export function help(words: readonly string[]): number {
  const { operands, problems } = parseWords("help", words);
  if (problems.length > 0) throw new ProblemsFound(problems);
  const name = operands.join(" ");
  if (name === "") writeResult(overviewHelp());
  else writeResult(topicHelp(name));
  return 0;
}

/** A command's page, or all pages of a group such as `kernel`. */
function topicHelp(name: string): string {
  const found = COMMANDS.filter((command) => command.name === name);
  const pages = found.length > 0
    ? found
    : COMMANDS.filter((command) => command.name.startsWith(`${name} `));
  if (pages.length > 0) return pages.map((page) => commandHelp(page.name)).join("\n\n");
  const hint = didYouMean(name, COMMANDS.map((command) => command.name)) ??
    "all commands: dinovisor help";
  const message = `Unknown command "${name}"`;
  throw new ProblemsFound([{ field: name, code: "COMMAND_UNKNOWN", message, hint }]);
}

/** What `dinovisor` is, and its commands. */
export function overviewHelp(): string {
  const rows = COMMANDS.map(({ name, operands, summary }) =>
    row([name, operands].filter((word) => word !== undefined).join(" "), summary)
  );
  return [
    "dinovisor: small virtual machines on KVM",
    "",
    "usage: dinovisor COMMAND [FLAGS]",
    "",
    ...rows,
    "",
    "Flags of a command: dinovisor help COMMAND",
    "",
    "Environment: DINOVISOR_GUEST=stock|built picks the default guest, Debian's kernel or our own (else",
    "the host decides: see doctor); DINOVISOR_CACHE=DIR keeps it elsewhere than in ~/.cache/dinovisor.",
    "",
    "Exit status: the guest command's own; 0 after a clean power-off; 124 time limit; 125 our error;",
    "128+n signal; 255 the guest died.",
  ].join("\n");
}

/** Usage, flags and examples of one command. */
export function commandHelp(name: CommandName): string {
  const { operands, summary, examples } = commandOf(name);
  const usage = ["usage: dinovisor", name, "[FLAGS]", operands];
  const lines = [usage.filter((word) => word !== undefined).join(" "), "", capital(summary), ""];
  lines.push(...flagsOf(name).map((flag) => row(flagSyntax(flag), flagHelp(flag))));
  if (name === "run") {
    lines.push(
      "",
      "At the console, and at the terminal of CMD, Ctrl-] then q quits, p presses the power button,",
      "? shows help; Ctrl-] twice sends Ctrl-].",
      "CMD has stdin, stdout and stderr as they are here, and the first SIGINT, SIGTERM or SIGHUP; the second",
      "ends the machine. Exit status: its own, 128+n by signal n, 127 not found, 126 no program. The console",
      "is not shown beside CMD, but for -v, on stderr.",
    );
  }
  if (examples !== undefined) {
    lines.push("", "examples:", ...examples.map((line) => `  ${line}`));
  }
  return lines.join("\n");
}

/** `-m, --mem SIZE`. */
function flagSyntax({ name, short, value }: Flag): string {
  const dashes = short === undefined ? `    --${name}` : `-${short}, --${name}`;
  return value === undefined ? dashes : `${dashes} ${value}`;
}

function flagHelp({ help: text, fallback, repeat }: Flag): string {
  const notes = [
    ...(fallback === undefined ? [] : [`default: ${fallback}`]),
    ...(repeat === undefined ? [] : ["repeatable"]),
  ];
  return notes.length === 0 ? text : `${text} (${notes.join("; ")})`;
}

function row(left: string, right: string): string {
  if (left.length < FLAG_COLUMN) return `  ${left.padEnd(FLAG_COLUMN)}${right}`;
  return `  ${left}\n  ${" ".repeat(FLAG_COLUMN)}${right}`;
}

function capital(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
