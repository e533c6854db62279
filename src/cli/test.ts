/** `dinovisor test`: runs files of tests by `deno test`, and tells them which kernel to boot (`src/testing.ts`). */
import { checkConfig } from "../machine/mod.ts";
import { TEST_VARIABLES } from "../testing/given_options.ts";
import { FlagError, type Problem } from "../virtio/device_kind.ts";
import { ProblemsFound } from "./errors.ts";
import { type ImportMap, importMapFor } from "./import_map.ts";
import { didYouMean, type ParsedWords, parseWords } from "./parse.ts";
import { parseCpus, parseMemory } from "./quantity.ts";

/** Beside the bundle there is a copy of the library's modules; a checkout has them itself. */
const LIBRARY = new URL(import.meta.url.endsWith(".js") ? "./lib/" : "../../", import.meta.url);
/** As `bootForTest` has it: with it a kernel is checked that no --mem is given with. */
const MEMORY_MIB = 64;
/** What Deno takes for a file of tests. */
const TEST_FILE = /(?:^|[._])test\.[cm]?[jt]sx?$/;
/** The launcher of an installed `dinovisor` keeps the caller's DENO_DIR there: its own is for itself. */
const CALLERS_DENO_DIR = "DINOVISOR_DENO_DIR";

/** What is to be run, and how. */
interface TestSettings {
  readonly files: readonly string[];
  readonly denoArgs: readonly string[];
  /** For the tests. */
  readonly variables: Readonly<Record<string, string>>;
}

/** Runs the tests; resolves to the exit status of `deno test`. */
export async function test(words: readonly string[]): Promise<number> {
  const { files, denoArgs, variables } = await readSettings(parseWords("test", words));
  const map = await importMap();
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      // Whoever may call foreign functions, as a monitor does, may do everything; --deny-… after -- still takes away.
      "--allow-all",
      ...(map === undefined ? [] : [`--import-map=${dataUrl(map)}`]),
      ...denoArgs,
      ...files,
    ],
    env: environment(variables),
    clearEnv: true,
  }).spawn();
  using _signals = passSignals(child);
  return (await child.status).code;
}

async function readSettings(words: ParsedWords): Promise<TestSettings> {
  const problems: Problem[] = [...words.problems];
  const text = (name: string): string | undefined => words.values.get(name)?.[0];
  const read = <T>(name: string, code: string, parse: (text: string) => T): T | undefined => {
    const value = text(name);
    if (value === undefined) return undefined;
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof FlagError)) throw error;
      const { message, hint } = error;
      problems.push({ field: `--${name}`, code, message, ...(hint === undefined ? {} : { hint }) });
      return undefined;
    }
  };
  const memoryMib = read("mem", "MEM_INVALID", parseMemory);
  const vcpus = read("cpus", "CPUS_INVALID", parseCpus);
  const [kernel, initrd, filter] = [text("kernel"), text("initrd"), text("filter")];
  problems.push(
    ...imageProblems(kernel, initrd, memoryMib ?? MEMORY_MIB),
    ...await fileProblems(words.operands),
  );
  if (problems.length > 0) throw new ProblemsFound(problems);
  return {
    files: words.operands,
    denoArgs: [
      ...(filter === undefined ? [] : ["--filter", filter]),
      ...(words.values.has("update") ? ["--update-snapshots"] : []),
      ...(words.rest ?? []),
    ],
    variables: {
      ...(kernel === undefined ? {} : { [TEST_VARIABLES.kernel]: await Deno.realPath(kernel) }),
      ...(initrd === undefined ? {} : { [TEST_VARIABLES.initrd]: await Deno.realPath(initrd) }),
      ...(memoryMib === undefined ? {} : { [TEST_VARIABLES.memory]: String(memoryMib) }),
      ...(vcpus === undefined ? {} : { [TEST_VARIABLES.cpus]: String(vcpus) }),
    },
  };
}

/** Said once here, not once a test. */
function imageProblems(
  image: string | undefined,
  initrd: string | undefined,
  memoryMib: number,
): Problem[] {
  if (image === undefined) {
    if (initrd === undefined) return [];
    const message = `Cannot use initrd "${initrd}" without a kernel`;
    return [{ field: "--initrd", code: "INITRD_ALONE", message, hint: "name it: -k KERNEL" }];
  }
  const found = checkConfig({
    kernel: { image, ...(initrd === undefined ? {} : { initrd }) },
    memoryMib,
    vcpus: 1,
    discovery: "auto",
    console: { mode: "off" },
    devices: [],
  });
  return found.map((problem) =>
    problem.code === "KERNEL_NOT_FOUND"
      ? { ...problem, hint: "build it first, or name another ELF vmlinux or bzImage" }
      : problem
  );
}

async function fileProblems(files: readonly string[]): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const file of files) {
    try {
      await Deno.stat(file);
    } catch (error) {
      const missing = error instanceof Deno.errors.NotFound ||
        error instanceof Deno.errors.NotADirectory;
      const reason = error instanceof Error ? error.message : String(error);
      problems.push({
        field: "FILE",
        code: missing ? "TEST_FILE_NOT_FOUND" : "TEST_FILE_ACCESS",
        message: missing
          ? `Cannot find test file "${file}"`
          : `Cannot open test file "${file}": ${reason}`,
        hint: await nearest(file),
      });
    }
  }
  return problems;
}

async function nearest(file: string): Promise<string> {
  const folder = file.slice(0, file.lastIndexOf("/") + 1);
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder === "" ? "." : folder)) {
      if (TEST_FILE.test(name)) names.push(`${folder}${name}`);
    }
  } catch {
    // no such folder: nothing is near
  }
  const meant = names.length > 0 ? didYouMean(file, names) : undefined;
  return meant ?? "name a file of tests, as in dinovisor test boot_test.ts -k vmlinux";
}

async function importMap(): Promise<ImportMap | undefined> {
  try {
    return await importMapFor(Deno.cwd(), LIBRARY);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `Cannot read the imports of this folder's deno.json: ${reason}`;
    const testing = new URL("src/testing.ts", LIBRARY).href;
    const hint = `mend it, or have "imports" name "@dinovisor/dinovisor/testing": "${testing}"`;
    throw new ProblemsFound([{ field: "deno.json", code: "IMPORTS_UNREADABLE", message, hint }]);
  }
}

/** Deno reads it like a file, and there is none to clean up. */
function dataUrl(map: ImportMap): string {
  return `data:application/json,${encodeURIComponent(JSON.stringify(map))}`;
}

/** Ours with `variables`; Deno's cache is the caller's again. */
function environment(variables: Readonly<Record<string, string>>): Record<string, string> {
  const { [CALLERS_DENO_DIR]: callers, ...env } = Deno.env.toObject();
  if (callers === "") delete env["DENO_DIR"];
  else if (callers !== undefined) env["DENO_DIR"] = callers;
  return { ...env, DENO_NO_UPDATE_CHECK: "1", ...variables };
}

/** A terminal sends SIGINT to both of us; the others are for the tests, too. Ours is to wait for their end. */
function passSignals(child: Deno.ChildProcess): Disposable {
  const passed = (["SIGTERM", "SIGHUP"] as const).map((signal) => {
    const pass = (): void => child.kill(signal);
    return [signal, pass] as const;
  });
  const handlers = [...passed, ["SIGINT", () => {}] as const];
  for (const [signal, handler] of handlers) Deno.addSignalListener(signal, handler);
  return {
    [Symbol.dispose]() {
      for (const [signal, handler] of handlers) Deno.removeSignalListener(signal, handler);
    },
  };
}
