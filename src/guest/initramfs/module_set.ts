/** The modules that go into an initramfs: those wanted, and all that these need. */
import { InitramfsError } from "./errors.ts";
import { loadOrder } from "./load_order.ts";
import { type ModuleInfo, moduleName, readModuleInfo } from "./modinfo.ts";
import type { ModuleFolder } from "./module_folder.ts";

/** A module with its content. */
interface KernelModule extends ModuleInfo {
  readonly bytes: Uint8Array;
}

/** Modules in the order they are to be loaded. */
export interface ModuleSet {
  readonly modules: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  /** The kernel's release they are all for. */
  readonly release?: string;
}

/**
 * Gathers modules from a folder.
 *
 * @param required unknown names are an error
 * @param optional unknown names are left out
 * @throws {InitramfsError} naming the module that is missing, damaged, for another kernel, or part of a circle
 */
export async function gatherModules(
  folder: ModuleFolder,
  required: readonly string[],
  optional: readonly string[],
): Promise<ModuleSet> {
  const gathering = new Gathering(folder);
  for (const name of required) await gathering.want(moduleName(name), name);
  for (const name of optional) {
    if (folder.has(moduleName(name))) await gathering.want(moduleName(name), name);
  }
  return gathering.finish();
}

class Gathering {
  readonly #folder: ModuleFolder;
  readonly #modules = new Map<string, KernelModule>();
  readonly #seen = new Set<string>();

  constructor(folder: ModuleFolder) {
    this.#folder = folder;
  }

  /** Adds a module that the user asked for, as `written`. */
  async want(name: string, written: string): Promise<void> {
    if (!this.#folder.has(name) && !this.#folder.isBuiltIn(name)) {
      const message = `Cannot find module "${written}" in "${this.#folder.path}"`;
      const hint = `list what is there: find ${this.#folder.path} -name '*.ko*'`;
      throw new InitramfsError(message, "INITRD_MODULE_UNKNOWN", { hint });
    }
    await this.#add(name);
  }

  /** Adds a module and what it needs. Each is in the map behind its dependencies, unless they form a circle. */
  async #add(name: string): Promise<void> {
    if (this.#seen.has(name) || this.#folder.isBuiltIn(name)) return;
    this.#seen.add(name);
    const bytes = await this.#folder.read(name);
    const info = readModuleInfo(bytes, this.#folder.fileOf(name));
    for (const needed of info.depends) {
      this.#require(needed, name);
      await this.#add(needed);
    }
    // Soft ones may be names of algorithms, or of modules that this kernel does not have.
    for (const other of [...info.before, ...info.after]) {
      if (this.#folder.has(other)) await this.#add(other);
    }
    this.#modules.set(name, { ...info, bytes });
  }

  #require(needed: string, by: string): void {
    if (this.#folder.has(needed) || this.#folder.isBuiltIn(needed)) return;
    const message = `Cannot use module "${by}": it needs "${needed}", which is not in ` +
      `"${this.#folder.path}"`;
    const hint = "the folder is not complete: unpack all packages of this kernel into it";
    throw new InitramfsError(message, "INITRD_MODULE_MISSING", { hint });
  }

  finish(): ModuleSet {
    const release = this.#release();
    const modules = loadOrder(this.#modules)
      .map((name) => ({ name, bytes: this.#modules.get(name)?.bytes ?? new Uint8Array() }));
    return { modules, ...(release === undefined ? {} : { release }) };
  }

  /** The release all modules are for. A kernel refuses the modules of another. */
  #release(): string | undefined {
    let first: readonly [name: string, release: string] | undefined;
    for (const [name, { release }] of this.#modules) {
      if (release === undefined) continue;
      first ??= [name, release];
      if (release === first[1]) continue;
      const message = `Cannot put modules of two kernels together: "${first[0]}" is for ` +
        `${first[1]}, "${name}" for ${release}`;
      const hint = `remove what does not belong to one kernel from "${this.#folder.path}"`;
      throw new InitramfsError(message, "INITRD_MODULE_FOLDER", { hint });
    }
    return first?.[1];
  }
}
