/** The program that all other commands of the installed `dinovisor` are. Bundled by `../bundle.ts`. */
import type { CommandName } from "../../src/cli/flags.ts";
import { main, type Page } from "../../src/cli/main.ts";
import { PAGES } from "../../src/cli/pages.ts";

function pageOf(command: CommandName): Promise<Page> {
  // SAFETY of the cast: a command line that begins with `run` is for the other program.
  return Promise.resolve(PAGES[command as Exclude<CommandName, "run">]);
}

Deno.exit(await main(Deno.args, pageOf));
