/** The command line's door: `deno run -A main.ts …`, or the installed `dinovisor`. Everything is in `src/cli`. */
import { main } from "./src/cli/main.ts";
import { pageOf } from "./src/cli/page_of.ts";

if (import.meta.main) Deno.exit(await main(Deno.args, pageOf));
