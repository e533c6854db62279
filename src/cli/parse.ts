/**
 * A command's words, split by the table in `flags.ts`: which flags, which values, what is wrong with them. What a
 * value means is the command's business. @std/cli does the splitting; before it, short flags and switches are
 * spelled out, because it guesses there (`-m128M` would be five flags, `-q true` a value).
 */
import { closestString, levenshteinDistance } from "../std/near_strings.ts";
import { parseArgs } from "../std/parse_args.ts";
import type { Problem } from "../virtio/device_kind.ts";
import { type CommandName, commandOf, COMMANDS, type Flag, FLAGS, flagsOf } from "./flags.ts";

/** What was written after the command's name. */
export interface ParsedWords {
  /** By flag name, in the order given; a switch has "". Only flags that are usable as written. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  readonly operands: readonly string[];
  /** What follows `--`; undefined without one. */
  readonly rest: readonly string[] | undefined;
  readonly problems: readonly Problem[];
}

/** Splits `words` for `command`. Never throws: what is wrong is in `problems`, all of it. */
export function parseWords(command: CommandName, words: readonly string[]): ParsedWords {
  const end = words.indexOf("--");
  const own = end === -1 ? words : words.slice(0, end);
  const rest = end === -1 ? undefined : words.slice(end + 1);
  const flags = flagsOf(command);
  const problems: Problem[] = [];
  const parsed = parseArgs(spellOut(own, flags, command, problems), {
    string: ["_", ...flags.filter(takesValue).map((flag) => flag.name)],
    boolean: flags.filter((flag) => !takesValue(flag)).map(keyOf),
    collect: flags.map(keyOf),
    unknown(word, key) {
      if (key !== undefined) problems.push(unknownFlag(word, command));
      return key === undefined;
    },
  });
  const values = new Map<string, readonly string[]>();
  for (const flag of flags) {
    const given = gathered(parsed[keyOf(flag)]);
    if (given.length === 0) continue;
    const found = flagProblems(flag, given);
    problems.push(...found);
    if (found.length === 0) values.set(flag.name, given);
  }
  problems.push(...operandProblems(command, parsed._, rest));
  return { values, operands: parsed._, rest, problems };
}

/** Whether `words` ask for `flag`, however wrong the rest of them is. */
export function asksFor(words: readonly string[], name: "help" | "json" | "verbose"): boolean {
  const end = words.indexOf("--");
  const short = name === "json" ? undefined : `-${name[0]}`;
  return words.slice(0, end === -1 ? words.length : end)
    .some((word) => word === `--${name}` || word === short);
}

/**
 * A hint that names the one of `candidates` nearest to `word`; undefined when more than half of it would have to change,
 * for then it was not meant. `prefix` is what both begin with, and says nothing about that.
 */
export function didYouMean(
  word: string,
  candidates: readonly string[],
  prefix = "",
): string | undefined {
  const nearest = closestString(word, candidates);
  const isFar = levenshteinDistance(word, nearest) > Math.max(word.length, nearest.length) / 2;
  return isFar ? undefined : `did you mean ${prefix}${nearest}?`;
}

/** What parseArgs knows a flag as: it would take `no-tty` for the negation of `tty`. */
function keyOf({ name }: Flag): string {
  return name.replace(/^no-/, "without-");
}

function takesValue(flag: Flag): boolean {
  return flag.value !== undefined;
}

/** `-qm128M` becomes `--quiet=true --mem=128M`, `--json` becomes `--json=true`; values stay as they are. */
function spellOut(
  words: readonly string[],
  flags: readonly Flag[],
  command: CommandName,
  problems: Problem[],
): string[] {
  const spelled: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    const letters = /^-[A-Za-z]/.test(word) ? lettersOf(word.slice(1), flags) : undefined;
    if (letters !== undefined) spelled.push(...letters);
    else if (/^-[^-]/.test(word)) problems.push(unknownFlag(word, command));
    else spelled.push(...longWord(word, flags, command, problems));
    // parseArgs would take an empty next word for an operand.
    const last = spelled.at(-1) ?? "";
    if (words[at + 1] === "" && /^--[^=]+$/.test(last)) {
      spelled.splice(-1, 1, `${last}=`);
      at++;
    }
  }
  return spelled;
}

/** The long flags that `letters` stand for; undefined when one of them is unknown. */
function lettersOf(letters: string, flags: readonly Flag[]): string[] | undefined {
  const spelled: string[] = [];
  for (let at = 0; at < letters.length; at++) {
    const flag = flags.find((candidate) => candidate.short === letters[at]);
    if (flag === undefined) return undefined;
    if (!takesValue(flag)) {
      spelled.push(`--${keyOf(flag)}=true`);
      continue;
    }
    const value = letters.slice(at + 1);
    spelled.push(value === "" ? `--${flag.name}` : `--${flag.name}=${value.replace(/^=/, "")}`);
    break;
  }
  return spelled;
}

function longWord(
  word: string,
  flags: readonly Flag[],
  command: CommandName,
  problems: Problem[],
): string[] {
  const [, name = "", equals] = /^--([^=]+)(=?)/.exec(word) ?? [];
  if (name === "") return [word];
  const flag = flags.find((candidate) => candidate.name === name);
  // parseArgs drops the `no-` of `--no-mem=1`, and keeps operands under `_`.
  if (name === "_" || (flag === undefined && name.startsWith("no-") && equals === "=")) {
    problems.push(unknownFlag(word, command));
    return [];
  }
  if (flag === undefined || takesValue(flag)) return [word];
  if (equals === "=") {
    problems.push({
      field: `--${name}`,
      code: "FLAG_TAKES_NO_VALUE",
      message: `Flag --${name} takes no value`,
      hint: `write --${name} alone, or leave it out`,
    });
    return [];
  }
  return [`--${keyOf(flag)}=true`];
}

function gathered(value: unknown): readonly string[] {
  if (!Array.isArray(value)) return [];
  return value.map((item) => typeof item === "string" ? item : "");
}

function flagProblems(flag: Flag, given: readonly string[]): Problem[] {
  const field = `--${flag.name}`;
  const problems: Problem[] = [];
  if (takesValue(flag) && given.includes("")) {
    problems.push({
      field,
      code: "FLAG_VALUE_MISSING",
      message: `Flag ${field} needs a value`,
      hint: `write ${field} ${flag.value}; a value that starts with "-" is written ${field}=-…`,
    });
  }
  if (takesValue(flag) && flag.repeat === undefined && given.length > 1) {
    problems.push({
      field,
      code: "FLAG_REPEATED",
      message: `Flag ${field} is given ${given.length} times`,
      hint: `give ${field} once`,
    });
  }
  return problems;
}

function operandProblems(
  command: CommandName,
  operands: readonly string[],
  rest: readonly string[] | undefined,
): Problem[] {
  const { operandCount: [min, max], operands: syntax } = commandOf(command);
  const usage = `see dinovisor help ${command}`;
  if (operands.length < min) {
    const message = `Command "${command}" needs an argument: ${syntax}`;
    return [{ field: command, code: "ARGUMENT_MISSING", message, hint: usage }];
  }
  const problems = operands.slice(max).map((operand): Problem => ({
    field: command,
    code: "ARGUMENT_UNEXPECTED",
    message: `Unexpected argument "${operand}"`,
    hint: command === "run"
      ? `a kernel is given with --kernel ${operand}, a command for the guest after --`
      : usage,
  }));
  if (rest !== undefined && command !== "run" && command !== "test") {
    const message = `Command "${command}" takes nothing after --`;
    problems.push({ field: command, code: "ARGUMENT_UNEXPECTED", message, hint: usage });
  }
  return problems;
}

/** `word` is as the user wrote it, value included. */
function unknownFlag(word: string, command: CommandName): Problem {
  const written = word.replace(/=.*$/s, "");
  return {
    field: written,
    code: "FLAG_UNKNOWN",
    message: `Unknown flag ${written}`,
    hint: unknownFlagHint(written, command),
  };
}

function unknownFlagHint(written: string, command: CommandName): string {
  const row = FLAGS.find(({ name, short }) => written === `--${name}` || written === `-${short}`);
  if (row !== undefined) {
    const owners = COMMANDS.filter(({ name }) => row.commands.includes(name));
    return `it belongs to ${owners.map(({ name }) => `dinovisor ${name}`).join(", ")}`;
  }
  const all = `all flags: dinovisor help ${command}`;
  if (!written.startsWith("--")) return all;
  const meant = didYouMean(written.slice(2), flagsOf(command).map(({ name }) => name), "--");
  return meant === undefined ? all : `${meant} ${all}`;
}
