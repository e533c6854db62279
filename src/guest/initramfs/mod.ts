/**
 * Builds an initramfs: our first program and kernel modules in the order they must be loaded, alone or appended to
 * a user's initrd. Stock distribution kernels have their virtio drivers as modules and find no disk without it.
 */
import { appendArchive, CpioArchive } from "./cpio.ts";
import { readNamed } from "./errors.ts";
import { ModuleFolder } from "./module_folder.ts";
import { gatherModules, type ModuleSet } from "./module_set.ts";

export { type AgentInitrd, type AgentRequest, initrdWithAgent } from "./agent_archive.ts";
export { InitramfsError } from "./errors.ts";
export type { InitramfsCode } from "./errors.ts";
export { GUEST_MODULES } from "./guest_modules.ts";
export { readShellAgent } from "../recipe.ts";
export { compileAgent, compileInitramfsProgram } from "./program.ts";

/** What goes into an initramfs. */
export interface InitramfsRequest {
  /** Folder of a kernel's modules: `…/lib/modules/VERSION`. Left out: no modules. */
  readonly moduleFolder?: string;
  /** Modules wanted, by name. What they depend on comes along; what is built in is left out; unknown is an error. */
  readonly modules?: readonly string[];
  /** The same, but a name that the folder does not have is left out. */
  readonly optionalModules?: readonly string[];
  /** Path on the host of the program that loads them: {@linkcode compileInitramfsProgram}'s result. */
  readonly program: string;
  /** A user's initrd, compressed or not, that ours is appended to. */
  readonly appendTo?: string;
}

/** A finished initramfs. */
export interface Initramfs {
  /** The file's content. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The modules in it, first loaded first. */
  readonly loadOrder: readonly string[];
  /** Release of the kernel that the modules are for, as in `uname -r`; left out when there are none. */
  readonly release?: string;
  /** Words the kernel's command line needs: `rdinit=/dinovisor/init` when appended, else none. */
  readonly words: string;
}

/** Where everything of ours is in the initramfs; our program has the same names (init.c). */
const FOLDER = "dinovisor";
const PROGRAM = `${FOLDER}/init`;
const MODULES = `${FOLDER}/modules`;
/** The names of the modules, one a line, first loaded first. */
const ORDER = `${MODULES}/order`;

/**
 * Puts an initramfs together. Equal files give equal bytes.
 *
 * @throws {InitramfsError} when a file cannot be read, a module or its dependency is missing, or modules need each
 *   other in a circle
 */
export async function buildInitramfs(request: InitramfsRequest): Promise<Initramfs> {
  const { appendTo } = request;
  const { modules, release } = await wantedModules(request);
  const program = await readNamed("program", request.program);
  const archive = archiveOf(program, modules, appendTo === undefined);
  const bytes = appendTo === undefined
    ? archive
    : appendArchive(await readNamed("initrd", appendTo), archive);
  return {
    bytes,
    loadOrder: modules.map(({ name }) => name),
    words: appendTo === undefined ? "" : `rdinit=/${PROGRAM}`,
    ...(release === undefined ? {} : { release }),
  };
}

async function wantedModules(request: InitramfsRequest): Promise<ModuleSet> {
  if (request.moduleFolder === undefined) return { modules: [] };
  const folder = await ModuleFolder.open(request.moduleFolder);
  return await gatherModules(folder, request.modules ?? [], request.optionalModules ?? []);
}

function archiveOf(
  program: Uint8Array,
  modules: ModuleSet["modules"],
  alone: boolean,
): Uint8Array<ArrayBuffer> {
  const archive = new CpioArchive();
  // The kernel opens it for its first program before that could mount devtmpfs.
  archive.directory("dev");
  archive.characterDevice("dev/console", 5, 1);
  archive.directory(FOLDER);
  archive.file(PROGRAM, program, 0o755);
  if (alone) archive.symlink("init", PROGRAM);
  archive.directory(MODULES);
  for (const { name, bytes } of modules) archive.file(`${MODULES}/${name}.ko`, bytes);
  archive.file(ORDER, new TextEncoder().encode(modules.map(({ name }) => `${name}\n`).join("")));
  return archive.finish();
}
