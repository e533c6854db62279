/** `dinovisor completion SHELL`: completion scripts, derived from the table in `flags.ts`. */
import { ProblemsFound } from "./errors.ts";
import {
  type Command,
  type CommandName,
  commandOf,
  COMMANDS,
  type Flag,
  flagsOf,
  SHELLS,
} from "./flags.ts";
import { writeResult } from "./output.ts";
import { didYouMean, parseWords } from "./parse.ts";

export type Shell = (typeof SHELLS)[number];

const SCRIPTS: Readonly<Record<Shell, () => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** Prints the script for the shell that `words` name. */
export function completion(words: readonly string[]): number {
  const { operands, problems } = parseWords("completion", words);
  if (problems.length > 0) throw new ProblemsFound(problems);
  const [wanted = ""] = operands;
  const shell = SHELLS.find((name) => name === wanted);
  if (shell === undefined) {
    const message = `Cannot complete for shell "${wanted}": it is not one of ${SHELLS.join(", ")}`;
    const hint = didYouMean(wanted, SHELLS) ?? "write one of those";
    throw new ProblemsFound([{ field: "SHELL", code: "SHELL_UNKNOWN", message, hint }]);
  }
  writeResult(completionScript(shell));
  return 0;
}

/** The script for `shell`. */
export function completionScript(shell: Shell): string {
  return SCRIPTS[shell]();
}

/** First words: `run`, `kernel` … each once. */
function firstWords(): string[] {
  return [...new Set(COMMANDS.map(({ name }) => name.split(" ")[0] ?? name))];
}

/** Second words of groups: `kernel` has `build` and `check`. */
function secondWords(first: string): string[] {
  return COMMANDS.map(({ name }) => name.split(" "))
    .flatMap(([group, word]) => group === first && word !== undefined ? [word] : []);
}

/** Groups by first word. */
function groups(): string[] {
  return firstWords().filter((word) => secondWords(word).length > 0);
}

function spellings(flag: Flag): string[] {
  return flag.short === undefined ? [`--${flag.name}`] : [`-${flag.short}`, `--${flag.name}`];
}

/** What completes an operand or value: words, files or nothing. */
function bashOffer(offers: Command["offers"]): string {
  if (offers === undefined) return "COMPREPLY=()";
  if (offers === "files") return 'COMPREPLY=($(compgen -f -- "$word"))';
  return `COMPREPLY=($(compgen -W "${offers.join(" ")}" -- "$word"))`;
}

function bashScript(): string {
  const cases = COMMANDS.map(({ name }) => bashCommand(name)).join("\n");
  return `# bash completion for dinovisor: eval "$(dinovisor completion bash)"
_dinovisor() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]} i
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "${firstWords().join(" ")}" -- "$word"))
    return
  fi
  case $command in
${groups().map(bashGroup).join("\n")}
  esac
  # What follows -- is for the guest.
  for ((i = 2; i < COMP_CWORD; i++)); do [[ \${COMP_WORDS[i]} == -- ]] && return; done
  case $command in
${cases}
  esac
} && complete -o filenames -F _dinovisor dinovisor`;
}

function bashGroup(group: string): string {
  return `  ${group})
    if ((COMP_CWORD == 2)); then
      COMPREPLY=($(compgen -W "${secondWords(group).join(" ")}" -- "$word"))
      return
    fi
    command="$command \${COMP_WORDS[2]}" ;;`;
}

function bashCommand(name: CommandName): string {
  const flags = flagsOf(name);
  const values = flags.filter((flag) => flag.value !== undefined).map((flag) =>
    `    ${spellings(flag).join("|")}) ${bashOffer(flag.offers)}; return ;;`
  );
  const lines = [`  "${name}")`];
  if (values.length > 0) lines.push("    case $before in", ...values, "    esac");
  lines.push(
    "    if [[ $word == -* ]]; then",
    `      COMPREPLY=($(compgen -W "${flags.flatMap(spellings).join(" ")}" -- "$word"))`,
    `    else ${bashOffer(commandOf(name).offers)}; fi ;;`,
  );
  return lines.join("\n");
}

function zshScript(): string {
  return `#compdef dinovisor
# zsh completion for dinovisor: dinovisor completion zsh > "\${fpath[1]}/_dinovisor"
_dinovisor() {
  local command=$words[2]
  if ((CURRENT == 2)); then
    compadd -- ${firstWords().join(" ")}
    return
  fi
  case $command in
${groups().map(zshGroup).join("\n")}
  esac
  words=(dinovisor "\${(@)words[3,-1]}")
  ((CURRENT--))
  case $command in
${COMMANDS.map(zshCommand).join("\n")}
  esac
}
compdef _dinovisor dinovisor`;
}

function zshGroup(group: string): string {
  return `  ${group})
    if ((CURRENT == 3)); then
      compadd -- ${secondWords(group).join(" ")}
      return
    fi
    command="$command $words[3]"
    words=("\${(@)words[1,2]}" "\${(@)words[4,-1]}")
    ((CURRENT--)) ;;`;
}

function zshCommand(command: Command): string {
  const specs = flagsOf(command.name).map(zshFlag);
  const operand = zshOffer(command.offers);
  if (operand !== "") specs.push(`'*:argument:${operand}'`);
  return `  "${command.name}")\n    _arguments -s \\\n      ${specs.join(" \\\n      ")} ;;`;
}

function zshFlag(flag: Flag): string {
  const text = flag.help.replaceAll("'", `'\\''`).replace(/[[\]:]/g, "\\$&");
  const value = flag.value === undefined ? "" : `:value:${zshOffer(flag.offers)}`;
  const spelled = spellings(flag);
  if (flag.repeat !== undefined) {
    return spelled.map((name) => `'*${name}[${text}]${value}'`).join(" ");
  }
  if (spelled.length === 1) return `'${spelled[0]}[${text}]${value}'`;
  return `'(${spelled.join(" ")})'{${spelled.join(",")}}'[${text}]${value}'`;
}

function zshOffer(offers: Command["offers"]): string {
  if (offers === undefined) return "";
  return offers === "files" ? "_files" : `(${offers.join(" ")})`;
}

function fishScript(): string {
  const lines = [
    "# fish completion: dinovisor completion fish > ~/.config/fish/completions/dinovisor.fish",
    "complete -c dinovisor -f",
  ];
  for (const first of firstWords()) {
    lines.push(`complete -c dinovisor -n __fish_use_subcommand -a ${first}${fishSummary(first)}`);
  }
  for (const group of groups()) {
    const words = secondWords(group);
    const unchosen = `__fish_seen_subcommand_from ${group}; and not ` +
      `__fish_seen_subcommand_from ${words.join(" ")}`;
    lines.push(`complete -c dinovisor -n '${unchosen}' -a '${words.join(" ")}'`);
  }
  for (const command of COMMANDS) lines.push(...fishCommand(command));
  return lines.join("\n");
}

function fishSummary(first: string): string {
  const command = COMMANDS.find(({ name }) => name === first);
  return command === undefined ? "" : ` -d ${fishQuoted(command.summary)}`;
}

function fishCommand({ name, offers }: Command): string[] {
  const seen = name.split(" ").map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
  const start = `complete -c dinovisor -n '${seen}'`;
  const lines = offers === undefined ? [] : [`${start}${fishOffer(offers)}`];
  for (const flag of flagsOf(name)) {
    const short = flag.short === undefined ? "" : ` -s ${flag.short}`;
    const value = flag.value === undefined ? "" : ` -r${fishOffer(flag.offers)}`;
    lines.push(`${start} -l ${flag.name}${short}${value} -d ${fishQuoted(flag.help)}`);
  }
  return lines;
}

function fishOffer(offers: Command["offers"]): string {
  if (offers === undefined) return "";
  return offers === "files" ? " -F" : ` -a '${offers.join(" ")}'`;
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
