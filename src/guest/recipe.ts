/**
 * What the default guest is made from: the files in linux/ and rootfs/ and the fixed words of its build.
 * A recipe's key changes with every byte of them. Called by mod.ts on the start path, so it stays small.
 */
import { contentKey } from "./cache.ts";
import { FREESTANDING_FLAGS, type FreestandingSources } from "./freestanding.ts";

/** Debian's package with the kernel's source; the archive in /usr/src and its top folder have the same name. */
export const SOURCE_PACKAGE = "linux-source-6.1";

/** The patches, in the order they are applied. */
const PATCHES = [
  "0001-ring0-emulation.patch",
  "0002-power-off.patch",
  "0003-short-boot.patch",
  "0004-device-tree.patch",
  "0005-no-early-echo.patch",
];

/**
 * Compiler flags for the whole kernel. Where ring 0 is emulated one turn of a REP instruction costs as much as
 * two or three others, so copies of known size are unrolled and all others are calls of the kernel's own routines.
 */
const COMPILER_FLAGS = ["-mmemset-strategy", "-mmemcpy-strategy"]
  .map((flag) => `${flag}=unrolled_loop:256:noalign,libcall:-1:noalign`).join(" ");

/** The agent's, in src/guest; the first one includes the others. */
const AGENT_SOURCES = [
  "agent.c",
  "carrier.h",
  "command.h",
  "files.h",
  "frames.h",
  "ports.h",
  "watch.h",
]
  .map((name) => `agent/${name}`);

/** Raise it when the way of building changes and the files do not. */
const KERNEL_RECIPE_VERSION = "1";
const ROOT_RECIPE_VERSION = "3";

/** Everything a kernel build takes besides the source. */
export interface KernelRecipe {
  readonly key: string;
  readonly config: string;
  readonly patches: readonly { readonly name: string; readonly text: string }[];
  readonly compilerFlags: string;
}

/** Everything a root image takes besides busybox. */
export interface RootRecipe {
  readonly key: string;
  /** Its first program. */
  readonly init: FreestandingSources;
  /** Runs commands for the machine's owner. */
  readonly agent: FreestandingSources;
}

/** What a program of ours in an initramfs is compiled from. */
export interface InitramfsProgramRecipe {
  readonly key: string;
  readonly sources: FreestandingSources;
}

/** Reads the kernel's recipe. */
export async function readKernelRecipe(): Promise<KernelRecipe> {
  const [config, ...texts] = await Promise.all(
    ["guest.config", ...PATCHES].map((name) => readData(`linux/${name}`)),
  );
  const patches = PATCHES.map((name, index) => ({ name, text: texts[index] ?? "" }));
  const parts = patches.flatMap(({ name, text }) => [name, text]);
  const key = await contentKey(
    KERNEL_RECIPE_VERSION,
    SOURCE_PACKAGE,
    COMPILER_FLAGS,
    config ?? "",
    ...parts,
  );
  return { key, config: config ?? "", patches, compilerFlags: COMPILER_FLAGS };
}

/** Reads the root image's recipe. */
export async function readRootRecipe(): Promise<RootRecipe> {
  const [init, agent] = await Promise.all([
    readSources("rootfs/init.c"),
    readSources(...AGENT_SOURCES),
  ]);
  const texts = [init, agent].flatMap((sources) => Object.values(sources));
  return {
    key: await contentKey(ROOT_RECIPE_VERSION, ...FREESTANDING_FLAGS, ...texts),
    init,
    agent,
  };
}

/** The programs: one that loads modules and mounts the root, and the agent. */
export type InitramfsProgramName = "initramfs-init" | "agent";

/** Reads the recipe of a program of ours in an initramfs. */
export async function readInitramfsProgramRecipe(
  name: InitramfsProgramName,
): Promise<InitramfsProgramRecipe> {
  const sources = await readSources(...name === "agent" ? AGENT_SOURCES : ["initramfs/init.c"]);
  return { key: await contentKey(...FREESTANDING_FLAGS, ...Object.values(sources)), sources };
}

/** The agent for guests without vsock: a script for a shell. */
export async function readShellAgent(): Promise<string> {
  return await readData("agent/agent.sh");
}

/** A freestanding program with its headers, and the one that all of them share. */
async function readSources(...names: readonly string[]): Promise<FreestandingSources> {
  const files = [...names, "rootfs/freestanding.h"].map(async (name) =>
    [name.slice(name.lastIndexOf("/") + 1), await readData(name)] as const
  );
  return Object.fromEntries(await Promise.all(files));
}

/** Options of a kernel configuration: `CONFIG_X=y` lines become `X` → `y`; comments are skipped. */
export function parseConfig(text: string): Map<string, string> {
  const options = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^CONFIG_(\w+)=(.*)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) options.set(match[1], match[2]);
  }
  return options;
}

/** The options that were asked for and are not in the finished configuration, as `CONFIG_X=y` lines. */
export function refusedOptions(asked: string, finished: string): string[] {
  const present = parseConfig(finished);
  return [...parseConfig(asked)]
    .filter(([name, value]) => value !== "n" && present.get(name) !== value)
    .map(([name, value]) => `CONFIG_${name}=${value}`);
}

async function readData(name: string): Promise<string> {
  const url = new URL(name, import.meta.url);
  return url.protocol === "file:" ? await Deno.readTextFile(url) : await (await fetch(url)).text();
}
