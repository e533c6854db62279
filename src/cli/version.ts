/** `dinovisor version`. */
import config from "../../deno.json" with { type: "json" };
import { ProblemsFound } from "./errors.ts";
import { writeResult } from "./output.ts";
import { parseWords } from "./parse.ts";

export function version(words: readonly string[]): number {
  const { values, problems } = parseWords("version", words);
  if (problems.length > 0) throw new ProblemsFound(problems);
  const { deno, v8, typescript } = Deno.version;
  const { target } = Deno.build;
  writeResult(
    values.has("json")
      ? JSON.stringify({ dinovisor: config.version, deno, v8, typescript, target })
      : `dinovisor ${config.version} (deno ${deno}, ${target})`,
  );
  return 0;
}
