/**
 * How `import … from "@dinovisor/dinovisor/testing"` finds us from a folder that knows nothing of us: by an import map for
 * Deno. It takes the place of the one in the folder's deno.json, so that one's entries are in it as well.
 */
import { parseJsonc } from "../std/jsonc.ts";

const PACKAGE = "@dinovisor/dinovisor";
const CONFIG_NAMES = ["deno.json", "deno.jsonc"];

type Imports = Readonly<Record<string, string>>;

/** https://html.spec.whatwg.org/multipage/webappapis.html#import-maps */
export interface ImportMap {
  readonly imports: Imports;
  readonly scopes: Readonly<Record<string, Imports>>;
}

/** What of a deno.json matters here. */
interface DenoConfig {
  readonly name?: unknown;
  readonly importMap?: unknown;
  readonly imports?: unknown;
  readonly scopes?: unknown;
}

/**
 * The map for what runs in `directory` (absolute), with `library` for our package; undefined when the configuration there names
 * the package itself. Rejects with what reading and parsing that throw.
 */
export async function importMapFor(
  directory: string,
  library: URL,
): Promise<ImportMap | undefined> {
  const own = await readConfig(new URL("deno.json", library));
  const path = await nearestConfig(directory);
  if (path === undefined) return mergedMap({}, new URL(`file://${directory}/`), library, own);
  const config = await readConfig(path);
  const importMap = typeof config.importMap === "string"
    ? new URL(config.importMap, `file://${path}`)
    : undefined;
  const source = importMap === undefined ? config : await readConfig(importMap);
  return mergedMap(source, importMap ?? new URL(`file://${path}`), library, own);
}

/**
 * Our package and what `config`, which is read from `base`, imports; undefined when it names our package. What our modules
 * import themselves, as our own configuration (`own`) has it, is for them alone.
 */
export function mergedMap(
  config: DenoConfig,
  base: URL,
  library: URL,
  own: DenoConfig,
): ImportMap | undefined {
  const theirs = absolute(config.imports, base);
  if (config.name === PACKAGE || Object.keys(theirs).some((name) => name.startsWith(PACKAGE))) {
    return undefined;
  }
  const scopes = Object.entries(isRecord(config.scopes) ? config.scopes : {})
    .map(([scope, imports]) => [new URL(scope, base).href, absolute(imports, base)]);
  return {
    imports: { ...theirs, ...ourImports(library) },
    scopes: { ...Object.fromEntries(scopes), [library.href]: absolute(own.imports, library) },
  };
}

function ourImports(library: URL): Imports {
  return {
    [PACKAGE]: new URL("src/mod.ts", library).href,
    [`${PACKAGE}/testing`]: new URL("src/testing.ts", library).href,
    [`${PACKAGE}/machine`]: new URL("src/machine/mod.ts", library).href,
  };
}

/** As they are in a map that lies elsewhere. Only in a deno.json does a package's name stand for its other modules, too. */
function absolute(imports: unknown, base: URL): Imports {
  const result: Record<string, string> = {};
  for (const [name, address] of Object.entries(isRecord(imports) ? imports : {})) {
    if (typeof address !== "string") continue;
    result[name] = /^\.{0,2}\//.test(address) ? new URL(address, base).href : address;
    const [, scheme, rest = ""] = /^(npm|jsr):\/?(.*[^/])$/.exec(address) ?? [];
    if (scheme !== undefined && !name.endsWith("/")) result[`${name}/`] ??= `${scheme}:/${rest}/`;
  }
  return result;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

async function nearestConfig(directory: string): Promise<string | undefined> {
  for (let at = directory;; at = at.slice(0, at.lastIndexOf("/"))) {
    for (const name of CONFIG_NAMES) {
      const path = `${at}/${name}`;
      if (await isFile(path)) return path;
    }
    if (at === "" || at === "/") return undefined;
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false; // whatever keeps us from it keeps Deno from it
  }
}

async function readConfig(path: string | URL): Promise<DenoConfig> {
  const config = parseJsonc(await Deno.readTextFile(path));
  return isRecord(config) ? config : {};
}
