/**
 * `deno task install`: puts `dinovisor` on the PATH, bundled, so that it starts as fast as it can. `--prefix DIR` says
 * where: DIR/bin/dinovisor and DIR/share/dinovisor; ~/.local when left out. Installing again replaces both.
 */
import { bundle, bundleName, WORKERS } from "./bundle.ts";
import { type Errand, fillCodeCache } from "./code_cache.ts";

const USAGE = "usage: deno task install [--prefix DIR]";

/** How Deno runs what is installed. */
const RUN = ["run", "-A", "--no-prompt", "--no-config", "--no-lock"];
/**
 * The same with compiled code of all functions, not only of those that a module runs when it is loaded. V8 takes code
 * only for the flags that it was compiled with; without any at hand this one costs time.
 */
const RUN_COMPILED = [...RUN, "--v8-flags=--no-lazy"];
/** Below share/dinovisor: what Deno keeps of this program, and of no other. */
const CACHE = "cache";

/**
 * What `sh` runs of what is installed in `share`. The Deno that installed it may be gone one day: npx keeps its
 * downloads in a cache. Who may not write to our cache goes without: Deno does not read what it cannot write.
 */
export function launcher(deno: string, version: string, share: string): string {
  const [main, cache] = [quoted(`${share}/main.js`), quoted(`${share}/${CACHE}`)];
  return `#!/bin/sh
# dinovisor, installed by \`deno task install\`
export DENO_NO_UPDATE_CHECK=1
if [ -w ${cache} ]; then
  export DINOVISOR_DENO_DIR="\${DENO_DIR-}"
  export DENO_DIR=${cache}
  set -- ${RUN_COMPILED.join(" ")} ${main} "$@"
else
  set -- ${RUN.join(" ")} --no-code-cache ${main} "$@"
fi
[ -x ${quoted(deno)} ] && exec ${quoted(deno)} "$@"
exec npx -y deno@${version} "$@"
`;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Installs below `prefix`; returns the launcher's path. Throws what the bundler or the file system says. */
export async function install(prefix: string): Promise<string> {
  const share = `${prefix}/share/dinovisor`;
  const fresh = `${share}.new`;
  await remove(fresh);
  await bundle(fresh);
  await remove(share);
  await Deno.rename(fresh, share);
  await fillCodeCache(`${share}/${CACHE}`, errands(share)); // which knows modules by their paths
  const path = `${prefix}/bin/dinovisor`;
  await Deno.mkdir(`${prefix}/bin`, { recursive: true });
  const text = launcher(Deno.execPath(), Deno.version.deno, share);
  await Deno.writeTextFile(`${path}.new`, text, { mode: 0o755 });
  await Deno.rename(`${path}.new`, path);
  return path;
}

/** Each program with the least to do; a worker as a program, which ends as nobody can send it a message. */
function errands(share: string): Errand[] {
  const programs = [
    ["main.js", "run", "--help"],
    ["main.js", "run", "--help", "--", "CMD"],
    ["main.js", "help"],
  ];
  const workers = WORKERS.map((worker) => [bundleName(worker)]);
  return [...programs, ...workers].map(([module, ...words]) => [
    ...RUN_COMPILED,
    `${share}/${module}`,
    ...words,
  ]);
}

async function remove(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Absolute: the launcher may be called from anywhere. */
function resolve(prefix: string): string {
  // A task runs in the project's folder; INIT_CWD is where it was called.
  const here = Deno.env.get("INIT_CWD") ?? Deno.cwd();
  return prefix.startsWith("/") ? prefix : `${here}/${prefix}`;
}

function defaultPrefix(): string {
  const home = Deno.env.get("HOME");
  if (home === undefined) throw new Error("HOME is not set: say where with --prefix DIR");
  return `${home}/.local`;
}

/** The value of --prefix in `args`; undefined when there is nothing. Throws what is wrong with them, in words. */
export function prefixOf(args: readonly string[]): string | undefined {
  const [first, ...rest] = args;
  if (first === undefined) return undefined;
  const [flag, inline] = first.split("=", 2);
  const [value, ...more] = inline === undefined ? rest : [inline, ...rest];
  if (flag !== "--prefix" || value === undefined || value === "" || more.length > 0) {
    throw new Error(`Cannot read "${args.join(" ")}"`);
  }
  return value;
}

async function main(): Promise<number> {
  let prefix: string;
  try {
    prefix = prefixOf(Deno.args) ?? defaultPrefix();
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}\nhint: ${USAGE}`);
    return 2;
  }
  const path = await install(resolve(prefix));
  console.log(path);
  const directory = path.slice(0, path.lastIndexOf("/"));
  if (!(Deno.env.get("PATH") ?? "").split(":").includes(directory)) {
    console.error(`hint: ${directory} is not in PATH; add it, or call ${path}`);
  }
  return 0;
}

if (import.meta.main) Deno.exit(await main());
