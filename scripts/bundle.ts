/**
 * The program as few files of JavaScript: what `deno task install` puts in place. Type-stripping and loading 160
 * modules cost 20 ms at each start; the bundle is loaded in 5.
 *
 *     deno run -A scripts/bundle.ts DIRECTORY
 */
const ROOT = new URL("../", import.meta.url).pathname;

/** Modules that start in isolates of their own: each worker's URL is rewritten to its bundle's. */
export const WORKERS: readonly string[] = [
  "src/machine/io_worker.ts",
  "src/machine/vcpu_worker.ts",
];
/**
 * `run`, whose start people wait for, comes without what only the others need and without the sandbox of its commands.
 * What it imports when that is needed is in files of its own: loading takes 36 µs for each kilobyte.
 */
const RUN_PROGRAM = "scripts/bundle/run.ts";
const OTHER_PROGRAMS = ["scripts/bundle/command.ts", "scripts/bundle/others.ts"];
/** A root file system may have a command of its own. */
const RUNS =
  `Deno.args.some((word) => /^--(rootfs(=.*)?)?$/s.test(word)) ? "./command.js" : "./run.js"`;
/** Packages in CommonJS ask for the runtime's modules so; the bundler leaves that as it is. */
const REQUIRE = `globalThis.require = (name) => process.getBuiltinModule(name);\n`;
const MAIN = `${REQUIRE}await import(Deno.args[0] === "run" ? ${RUNS} : "./others.js");\n`;
/** Its files that are no modules are read at run time, by paths relative to a module there: all code is one folder now. */
const DATA = "src/guest";
/** What `dinovisor test` has users' tests import: the modules themselves, for a bundle has no types. */
const LIBRARY = ["src", "devices", "transports"];
/** What the library never loads. */
const NO_LIBRARY = /^src\/cli$/;

/** Bundles into `directory`, which is made. Throws with what the bundler said. */
export async function bundle(directory: string): Promise<void> {
  await Deno.mkdir(directory, { recursive: true });
  // Each whole by itself: a program starts sooner from one file than from a dozen shared ones.
  for (const module of [...WORKERS, ...OTHER_PROGRAMS]) {
    await run(["-o", `${directory}/${bundleName(module)}`, module]);
  }
  await run(["--code-splitting", "--outdir", directory, RUN_PROGRAM]);
  await Deno.writeTextFile(`${directory}/main.js`, MAIN);
  await rewriteWorkers(directory);
  await slimMaps(directory);
  await copyFiles(`${ROOT}${DATA}`, directory, (path) => !path.endsWith(".ts"));
  for (const folder of LIBRARY) {
    const isWanted = (path: string): boolean => !NO_LIBRARY.test(path.slice(ROOT.length));
    await copyFiles(`${ROOT}${folder}`, `${directory}/lib/${folder}`, isWanted);
  }
  await Deno.copyFile(`${ROOT}deno.json`, `${directory}/lib/deno.json`); // the packages that src/std means
}

async function run(args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", "deno", "--minify", "--sourcemap=external", ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`Cannot bundle: ${new TextDecoder().decode(stderr)}`);
}

/** What the bundle of `module` is called. */
export function bundleName(module: string): string {
  return module.slice(module.lastIndexOf("/") + 1).replace(/\.ts$/, ".js");
}

/** The bundler leaves `new URL("./x_worker.ts", import.meta.url)` as it is. Each must be found, in one file. */
async function rewriteWorkers(directory: string): Promise<void> {
  const left = new Set(WORKERS.map((worker) => worker.slice(worker.lastIndexOf("/") + 1)));
  for await (const { name } of Deno.readDir(directory)) {
    if (!name.endsWith(".js")) continue;
    const path = `${directory}/${name}`;
    const text = await Deno.readTextFile(path);
    const rewritten = text.replace(/"\.\/(\w+_worker)\.ts"/g, (_, worker: string) => {
      left.delete(`${worker}.ts`);
      return `"./${worker}.js"`;
    });
    if (rewritten !== text) await Deno.writeTextFile(path, rewritten);
  }
  if (left.size > 0) throw new Error(`Cannot find where ${[...left].join(", ")} is started`);
}

/** For traces (src/cli/source_trace.ts): with paths from the project's folder, and without the sources themselves. */
async function slimMaps(directory: string): Promise<void> {
  for await (const { name } of Deno.readDir(directory)) {
    if (!name.endsWith(".js.map")) continue;
    const path = `${directory}/${name}`;
    const { sourcesContent: _, ...map } = JSON.parse(await Deno.readTextFile(path));
    const sources = map.sources.map((source: string) => {
      const { pathname } = new URL(source, `file://${directory}/`);
      const file = decodeURIComponent(pathname);
      return file.startsWith(ROOT) ? file.slice(ROOT.length) : source;
    });
    await Deno.writeTextFile(path, JSON.stringify({ ...map, sources }));
  }
}

async function copyFiles(
  from: string,
  to: string,
  isWanted: (path: string) => boolean,
): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    const path = `${from}/${name}`;
    if (!isWanted(path)) continue;
    if (isDirectory) await copyFiles(path, `${to}/${name}`, isWanted);
    else {
      await Deno.mkdir(to, { recursive: true });
      await Deno.copyFile(path, `${to}/${name}`);
    }
  }
}

if (import.meta.main) {
  const [directory] = Deno.args;
  if (directory === undefined) {
    console.error("error: name the directory to bundle into");
    Deno.exit(2);
  }
  await bundle(directory);
}
