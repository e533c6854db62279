/** The program that the installed `dinovisor run` is. Bundled by `../bundle.ts`. */
import { main } from "../../src/cli/main.ts";
import { run } from "../../src/cli/run.ts";

Deno.exit(await main(Deno.args, () => Promise.resolve(run)));
