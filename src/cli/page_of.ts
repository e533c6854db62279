/** The page of each command, imported when it is needed. Used by the checkout's `main.ts`; the bundle has its own way. */
import type { CommandName } from "./flags.ts";
import type { Page } from "./main.ts";

export async function pageOf(command: CommandName): Promise<Page> {
  if (command === "run") {
    const { run } = await import("./run.ts");
    return (words) => run(words, () => import("./guest_command.ts"));
  }
  return (await import("./pages.ts")).PAGES[command];
}
