/** The page of each command, imported when it is needed. Used by the checkout's `main.ts`; the bundle has its own way. */
import type { CommandName } from "./flags.ts";
import type { Page } from "./main.ts";

export async function pageOf(command: CommandName): Promise<Page> {
  if (command === "run") return (await import("./run.ts")).run;
  return (await import("./pages.ts")).PAGES[command];
}
