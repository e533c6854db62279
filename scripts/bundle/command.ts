/** The program that the installed `dinovisor run -- CMD` is. Bundled by `../bundle.ts`. */
import * as guestCommand from "../../src/cli/guest_command.ts";
import { main, type Page } from "../../src/cli/main.ts";
import { run } from "../../src/cli/run.ts";

function page(words: readonly string[]): ReturnType<Page> {
  return run(words, () => Promise.resolve(guestCommand));
}

Deno.exit(await main(Deno.args, () => Promise.resolve(page)));
