/**
 * Compiled code of an installed program, made when it is installed: Deno keeps V8's code cache in DENO_DIR, but not of
 * every module that ends the process itself. Used by `install.ts`.
 */
import { DatabaseSync } from "node:sqlite";

/** The words of `deno` that lead to each module to compile, arguments included: what it does then must end by itself. */
export type Errand = readonly string[];

/** Runs `errands`, one after the other, with `directory` as DENO_DIR. Throws with what one of them said when it failed. */
export async function fillCodeCache(directory: string, errands: readonly Errand[]): Promise<void> {
  await Deno.mkdir(directory, { recursive: true });
  for (const args of errands) {
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...args],
      env: { DENO_DIR: directory, DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) throw new Error(`Cannot compile ahead: ${new TextDecoder().decode(stderr)}`);
  }
  for await (const { name } of Deno.readDir(directory)) {
    if (/_cache_v\d+$/.test(name)) settle(`${directory}/${name}`);
  }
}

/** Deno leaves all it wrote in the write-ahead log, which each start would read through again. */
function settle(path: string): void {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
}
