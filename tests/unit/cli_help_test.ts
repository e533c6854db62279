import { assert, assertEquals, assertStringIncludes, assertThrows } from "../../src/std/assert.ts";
import { completionScript } from "../../src/cli/completion.ts";
import { ProblemsFound } from "../../src/cli/errors.ts";
import { COMMANDS, FLAGS, flagsOf, SHELLS } from "../../src/cli/flags.ts";
import { commandHelp, help, overviewHelp } from "../../src/cli/help.ts";
import { findCommand } from "../../src/cli/main.ts";

const CONTRACT_FLAGS = [
  ..."kernel initrd cmdline cmdline-only mem cpus disk net vsock console discovery".split(" "),
  ..."timeout report quiet verbose json dry-run".split(" "),
];
const CONTRACT_SHORTS = ["k", "m", "c", "q", "v"];

Deno.test("run has every flag of the contract", () => {
  const flags = flagsOf("run");
  for (const name of CONTRACT_FLAGS) assert(flags.some((flag) => flag.name === name), name);
  for (const short of CONTRACT_SHORTS) assert(flags.some((flag) => flag.short === short), short);
});

Deno.test("a command's help names every flag, its value and its help", () => {
  for (const { name, summary } of COMMANDS) {
    const text = commandHelp(name);
    assertStringIncludes(text, summary.slice(1));
    for (const flag of flagsOf(name)) {
      assertStringIncludes(text, `--${flag.name}`);
      assertStringIncludes(text, flag.help);
      if (flag.short !== undefined) assertStringIncludes(text, `-${flag.short}, --${flag.name}`);
      if (flag.value !== undefined) assertStringIncludes(text, `--${flag.name} ${flag.value}`);
    }
  }
});

Deno.test("the overview names every command and fits a terminal of 120 columns", () => {
  for (const { name } of COMMANDS) assertStringIncludes(overviewHelp(), `  ${name}`);
  const texts = [overviewHelp(), ...COMMANDS.map(({ name }) => commandHelp(name))];
  for (const line of texts.join("\n").split("\n")) assert(line.length <= 120, line);
});

Deno.test("completion scripts name every command and flag", () => {
  for (const shell of SHELLS) {
    const script = completionScript(shell);
    for (const { name } of COMMANDS) {
      for (const word of name.split(" ")) assertStringIncludes(script, word, shell);
    }
    for (const { name } of FLAGS) {
      assertStringIncludes(script, shell === "fish" ? `-l ${name}` : `--${name}`, shell);
    }
    assertStringIncludes(script, "auto fdt acpi cmdline");
  }
});

Deno.test("help about an unknown command suggests one", () => {
  const error = assertThrows<ProblemsFound>(() => help(["runn"]), ProblemsFound);
  assertEquals(error.problems.map(({ code, hint }) => [code, hint]), [
    ["COMMAND_UNKNOWN", "did you mean run?"],
  ]);
  const far = assertThrows<ProblemsFound>(() => help(["qqqq"]), ProblemsFound);
  assertEquals(far.problems[0]?.hint, "all commands: dinovisor help");
});

Deno.test("commands of one and two words are found", () => {
  assertEquals(findCommand(["run", "-k", "x"]), "run");
  assertEquals(findCommand(["kernel", "build"]), "kernel build");
  assertEquals(findCommand(["kernel", "check", "x"]), "kernel check");
  assertEquals(findCommand(["kernel"]), undefined);
  assertEquals(findCommand(["--help"]), undefined);
  assertEquals(findCommand([]), undefined);
});
