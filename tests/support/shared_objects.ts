/**
 * What an ELF program is linked with, and stand-ins for libraries that are left out. Debian's fio is linked with the
 * clients of half a dozen storage networks, 100 packages; a program starts just as well with libraries that define the
 * same symbols in the same versions and do nothing.
 */

/** The libraries in an object's DT_NEEDED entries. */
export async function neededLibraries(path: string): Promise<string[]> {
  return [...(await output("objdump", ["-p", path])).matchAll(/^ +NEEDED +(\S+)$/gm)]
    .map(([, name]) => name ?? "");
}

/** C source and version script of a library that satisfies the dynamic linker. */
export interface MissingLibrary {
  readonly code: string;
  /** Empty: the library has no versions. */
  readonly versions: string;
}

/**
 * A stand-in for `soname`, one of the `missing` libraries of `program`, with the symbols that the libraries
 * `present` (paths) do not have.
 */
export async function missingLibrary(
  program: string,
  soname: string,
  missing: readonly string[],
  present: readonly string[],
): Promise<MissingLibrary> {
  const versions = await versionsOf(program, soname);
  const wanted = await undefinedSymbols(program);
  if (versions.length > 0) return versionedLibrary(versions, wanted);
  // An undefined symbol without a version does not say whose it is, so the first library without versions has all.
  const first = await firstWithoutVersions(program, missing);
  if (soname !== first) return { code: "", versions: "" };
  const defined = new Set<string>();
  for (const path of present) for (const name of await definedSymbols(path)) defined.add(name);
  const names = wanted.filter(({ name, version }) => version === "" && !defined.has(name));
  return { code: names.map(({ name }) => stub(name)).join(""), versions: "" };
}

interface SymbolName {
  readonly name: string;
  readonly version: string;
}

function versionedLibrary(
  versions: readonly string[],
  wanted: readonly SymbolName[],
): MissingLibrary {
  let code = "", script = "";
  for (const version of versions) {
    const names = wanted.filter((symbol) => symbol.version === version).map(({ name }) => name);
    code += names.map(stub).join("");
    script += `${version} { global: ${names.map((name) => `${name};`).join(" ")} };\n`;
  }
  return { code, versions: script };
}

function stub(name: string): string {
  return `void ${name}(void) { __builtin_trap(); }\n`;
}

async function firstWithoutVersions(
  program: string,
  missing: readonly string[],
): Promise<string | undefined> {
  for (const name of missing) if ((await versionsOf(program, name)).length === 0) return name;
  return undefined;
}

/** The versions that `program` wants of a library, from its version references. */
async function versionsOf(program: string, soname: string): Promise<string[]> {
  const text = await output("objdump", ["-p", program]);
  const at = text.indexOf(`required from ${soname}:\n`);
  if (at === -1) return [];
  const lines = text.slice(at).split("\n").slice(1);
  const end = lines.findIndex((line) => !/^ +0x/.test(line));
  return lines.slice(0, end).map((line) => line.trim().split(/\s+/).at(-1) ?? "");
}

async function undefinedSymbols(path: string): Promise<SymbolName[]> {
  const text = await output("nm", ["-D", "--undefined-only", path]);
  return [...text.matchAll(/^ +U ([^@\s]+)(?:@+(\S+))?$/gm)]
    .map(([, name = "", version = ""]) => ({ name, version }));
}

async function definedSymbols(path: string): Promise<string[]> {
  const text = await output("nm", ["-D", "--defined-only", path]);
  return [...text.matchAll(/ \w ([^@\s]+)(?:@+\S+)?$/gm)].map(([, name]) => name ?? "");
}

async function output(program: string, args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  if (success) return new TextDecoder().decode(stdout);
  throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}
