/** The program that all other commands of the installed `dinovisor` are. Bundled by `../bundle.ts`. */
import type { CommandName } from "../../src/cli/flags.ts";
import { main } from "../../src/cli/main.ts";
import { PAGES } from "../../src/cli/pages.ts";

// SAFETY of the cast: a command line that begins with `run` is for the other program.
const pageOf = (command: CommandName) => PAGES[command as Exclude<CommandName, "run">];
Deno.exit(await main(Deno.args, (command) => Promise.resolve(pageOf(command))));
