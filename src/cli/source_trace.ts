/**
 * Traces of an installed program, whose one long line is the bundler's: the maps beside it say what is where. Deno would
 * do it by itself if the program named its map, and then reads it at every start (8 ms).
 */
import { builtinModule } from "../sys/builtin_module.ts";

/** A place in a bundle, as Deno's traces have it: the path is not encoded, whatever is in it. */
const PLACE = /file:\/\/([^\n]+?\.js):(\d+):(\d+)/g;

/** `trace` with the sources' files and lines. Places without a map, as in a checkout, stay as they are. */
export function sourceTrace(trace: string): string {
  const finders = new Map<string, Finder>();
  return trace.replace(PLACE, (place, path: string, line: string, column: string) => {
    const find = finders.get(path) ?? finderOf(path);
    finders.set(path, find);
    return find(Number(line), Number(column)) ?? place;
  });
}

/** Where a line and column of a bundle, from 1, come from. */
type Finder = (line: number, column: number) => string | undefined;

function finderOf(path: string): Finder {
  try {
    const { SourceMap } = builtinModule("node:module");
    const map = new SourceMap(JSON.parse(Deno.readTextFileSync(`${path}.map`)));
    return (line, column) => {
      const entry = map.findEntry(line - 1, column - 1);
      if (!("originalSource" in entry)) return undefined;
      return `${entry.originalSource}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
    };
  } catch {
    return () => undefined; // no map, or none we can read: the trace as it is says more than why
  }
}
