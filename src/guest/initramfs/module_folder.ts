/**
 * The folder of a kernel's modules, …/lib/modules/VERSION: which modules it has, which the kernel has built in, and
 * their content. Only what a package unpacks to is read; what depmod makes of it may be missing.
 */
import { compressionOf, decompress } from "../../sys/decompress.ts";
import { InitramfsError, readNamed } from "./errors.ts";
import { moduleName } from "./modinfo.ts";

/** Where modules are, in the order of precedence that depmod.d(5) has. */
const SUBFOLDERS = ["updates", "extra", "kernel"];
const MODULE_FILE = /^(.+)\.ko(?:\.(?:gz|xz|zst))?$/;
/** The biggest modules (graphics) have some 60 MB with debug symbols. */
const MAX_MODULE_BYTES = 256 * 1024 * 1024;

/** An index of the folder. Names are as {@linkcode moduleName} writes them. */
export class ModuleFolder {
  readonly path: string;
  readonly #files: ReadonlyMap<string, string>;
  readonly #builtIn: ReadonlySet<string>;

  private constructor(
    path: string,
    files: ReadonlyMap<string, string>,
    builtIn: ReadonlySet<string>,
  ) {
    this.path = path;
    this.#files = files;
    this.#builtIn = builtIn;
  }

  /**
   * Looks through the folder.
   *
   * @throws {InitramfsError} when it has no modules
   */
  static async open(path: string): Promise<ModuleFolder> {
    const entries = await entriesOf(path);
    if (!entries.some(({ name }) => name === "kernel")) {
      throw notModules(path, `it has no folder "kernel"`, await inside(path, entries));
    }
    const files = new Map<string, string>();
    for (const name of SUBFOLDERS) {
      if (entries.some((entry) => entry.name === name)) await collect(`${path}/${name}`, files);
    }
    if (files.size === 0) throw notModules(path, "it has no file *.ko");
    return new ModuleFolder(path, files, await builtInModules(path));
  }

  /** Whether there is a file for the module. */
  has(name: string): boolean {
    return this.#files.has(name);
  }

  /** Whether the kernel has the module in itself, so that it needs no file. */
  isBuiltIn(name: string): boolean {
    return this.#builtIn.has(name);
  }

  /** Path of a module's file. */
  fileOf(name: string): string {
    return this.#files.get(name) ?? `${this.path}/${name}.ko`;
  }

  /**
   * A module as the kernel takes it: not compressed.
   *
   * @throws {InitramfsError} when it cannot be read or unpacked
   */
  async read(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const path = this.fileOf(name);
    const bytes = await readNamed("module", path);
    if (compressionOf(bytes) === undefined) return bytes;
    try {
      return decompress(bytes, { maxBytes: MAX_MODULE_BYTES });
    } catch (cause) {
      const { message, hint } = cause as { message: string; hint?: string };
      throw new InitramfsError(`Cannot use module "${path}": ${message}`, "INITRD_MODULE_FORMAT", {
        cause,
        ...(hint === undefined ? {} : { hint }),
      });
    }
  }
}

async function entriesOf(path: string): Promise<Deno.DirEntry[]> {
  try {
    return await Array.fromAsync(Deno.readDir(path));
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound
      ? "it does not exist"
      : cause instanceof Deno.errors.NotADirectory
      ? "it is not a folder"
      : cause instanceof Error
      ? cause.message
      : String(cause);
    throw notModules(path, reason);
  }
}

/** Notes the files below `folder` that are not known by name yet. Symbolic links lead to sources, not to modules. */
async function collect(folder: string, files: Map<string, string>): Promise<void> {
  const entries = await entriesOf(folder);
  for (const { name, isDirectory, isFile } of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
    const path = `${folder}/${name}`;
    if (isDirectory) await collect(path, files);
    const [, module] = MODULE_FILE.exec(name) ?? [];
    if (!isFile || module === undefined) continue;
    if (!files.has(moduleName(module))) files.set(moduleName(module), path);
  }
}

/** The modules in modules.builtin, one path a line. A folder without that file has none. */
async function builtInModules(path: string): Promise<Set<string>> {
  try {
    const lines = (await Deno.readTextFile(`${path}/modules.builtin`)).split("\n");
    const names = lines.map((line) => MODULE_FILE.exec(line.split("/").at(-1) ?? "")?.[1]);
    return new Set(names.filter((name) => name !== undefined).map(moduleName));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Set();
    throw error;
  }
}

/** A folder one level down that is a module folder: what was meant by /lib/modules. */
async function inside(
  path: string,
  entries: readonly Deno.DirEntry[],
): Promise<string | undefined> {
  for (const { name } of entries) {
    try {
      if ((await Deno.stat(`${path}/${name}/kernel`)).isDirectory) return `${path}/${name}`;
    } catch {
      // not this one
    }
  }
  return undefined;
}

function notModules(path: string, reason: string, meant?: string): InitramfsError {
  const message = `Cannot use module folder "${path}": ${reason}`;
  return new InitramfsError(message, "INITRD_MODULE_FOLDER", {
    hint: meant === undefined
      ? "name a kernel's folder …/lib/modules/VERSION; VERSION is what uname -r says there"
      : `did you mean ${meant}?`,
  });
}
