/** The program that the installed `dinovisor run` is, without a command. Bundled by `../bundle.ts`. */
import { main } from "../../src/cli/main.ts";
import { type CommandLoader, run } from "../../src/cli/run.ts";

function loadCommand(): ReturnType<CommandLoader> {
  throw new Error("A run with a command is the other program");
}

Deno.exit(await main(Deno.args, () => Promise.resolve((words) => run(words, loadCommand))));
