/**
 * What a stock kernel's artifact is made from, the package aside, and what is in it. Called on the start path, so it
 * stays small.
 */
import { contentKey } from "./cache.ts";
import type { DebianSuite } from "./debian_archive.ts";
import { GUEST_MODULES } from "./initramfs/guest_modules.ts";
import { readInitramfsProgramRecipe } from "./recipe.ts";

/** Names of the files in the artifact. */
export const STOCK_FILES = { kernel: "vmlinuz", initrd: "initrd" } as const;

/** Raise it when the way of making the artifact changes and nothing it is made from does. */
const STOCK_RECIPE_VERSION = "1";

/** Everything a stock kernel's artifact takes besides the package. */
export interface StockRecipe {
  readonly key: string;
  readonly suite: DebianSuite;
  /** Modules for the initramfs, by name; those that the kernel does not have as files are left out. */
  readonly modules: readonly string[];
}

/** Reads the recipe of a suite's kernel. */
export async function readStockRecipe(suite: DebianSuite): Promise<StockRecipe> {
  const program = await readInitramfsProgramRecipe("initramfs-init");
  const key = await contentKey(STOCK_RECIPE_VERSION, suite, GUEST_MODULES.join(" "), program.key);
  return { key, suite, modules: GUEST_MODULES };
}
