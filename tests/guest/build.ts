/**
 * Compiles the tiny test guest, once for every state of its sources, flags and compiler.
 * Called by the integration tests and benchmarks; run directly, it prints the path of the ELF.
 */

const SOURCES = new URL("./", import.meta.url);

/** No SSE (ring 0 may be emulated without it), no red zone (interrupts), fixed addresses. */
const FLAGS = [
  ..."-std=gnu11 -O2 -Wall -Wextra -ffreestanding -nostdlib -static -no-pie -fno-pic".split(" "),
  ..."-m64 -march=x86-64 -mno-red-zone -mgeneral-regs-only -mcmodel=small".split(" "),
  ..."-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none".split(" "),
  ..."-fno-tree-loop-distribute-patterns -fno-strict-aliasing -g0".split(" "),
  ..."-Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack".split(" "),
];

/** Builds the guest if needed and returns the path of `guest.elf` in the user's cache. */
export async function buildTinyGuest(): Promise<string> {
  const key = await digest([FLAGS.join(" "), await compilerVersion(), ...await sourceTexts()]);
  const directory = `${cacheHome()}/dinovisor/test-guest/${key}`;
  const path = `${directory}/guest.elf`;
  if (await exists(path)) return path;
  await Deno.mkdir(directory, { recursive: true });
  const temporary = await Deno.makeTempFile({ dir: directory, prefix: "guest-" });
  try {
    await compile(temporary);
    await Deno.rename(temporary, path); // two builds at once both end with a whole file
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
  return path;
}

async function compile(output: string): Promise<void> {
  const names = (await sourceNames()).filter((name) => /\.[cS]$/.test(name));
  const result = await gcc([...FLAGS, "-Wl,-T,link.ld", "-o", output, ...names]);
  if (!result.success) throw new Error(`Cannot build the test guest:\n${text(result.stderr)}`);
}

async function compilerVersion(): Promise<string> {
  return text((await gcc(["--version"])).stdout);
}

async function gcc(args: string[]): Promise<Deno.CommandOutput> {
  try {
    return await new Deno.Command("gcc", { args, cwd: SOURCES }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error("The test guest needs gcc: install the Debian packages gcc and binutils", {
      cause: error,
    });
  }
}

async function sourceNames(): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(SOURCES)) {
    if (/\.(c|S|h|ld)$/.test(entry.name)) names.push(entry.name);
  }
  return names.sort();
}

async function sourceTexts(): Promise<string[]> {
  const names = await sourceNames();
  const read = (name: string) => Deno.readTextFile(new URL(name, SOURCES));
  return await Promise.all(names.map(async (name) => `${name}\n${await read(name)}`));
}

async function digest(parts: string[]): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(parts));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

function cacheHome(): string {
  const configured = Deno.env.get("XDG_CACHE_HOME");
  if (configured) return configured;
  const home = Deno.env.get("HOME");
  if (!home) throw new Error("Cannot find a cache directory: set XDG_CACHE_HOME or HOME");
  return `${home}/.cache`;
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

if (import.meta.main) console.log(await buildTinyGuest());
