/**
 * The disk of one run: the working tree as it is, Deno, its npm packages, the guests of the user's cache and what
 * is to be run. Made anew each time, in a second. Called by `scripts/lab.ts`.
 */
import { cacheDirectory } from "../../src/guest/cache.ts";

/** Top of the checkout, without a slash at its end. */
export const ROOT = new URL("../../", import.meta.url).pathname.replace(/\/$/, "");

/** Room for what is written in the lab, sparse. */
const SPARE_BYTES = 4 * 2 ** 30;
const MIB = 2 ** 20;

/** What the first program is told, as variables of its shell. */
export interface RunSettings {
  readonly token: string;
  /** The lab ends itself after this many seconds; undefined: never. */
  readonly limitSeconds: number | undefined;
  /** Size of our terminal, if the work is to have it. */
  readonly terminal: { readonly columns: number; readonly rows: number } | undefined;
  /** Environment of the work. */
  readonly environment: Readonly<Record<string, string>>;
  /** The work, in bash. */
  readonly work: string;
}

/** Makes the disk as `run.ext4` in `directory`, which is ours alone; returns its path. */
export async function makeRunDisk(directory: string, settings: RunSettings): Promise<string> {
  const stage = `${directory}/stage`;
  for (const name of ["", "/deno", "/deno-dir", "/cache/dinovisor"]) {
    await Deno.mkdir(stage + name, { recursive: true });
  }
  const here = new URL("./", import.meta.url);
  await Deno.copyFile(new URL("init.sh", here), `${stage}/init.sh`);
  await Deno.writeTextFile(`${stage}/settings.sh`, settingsText(settings));
  await Deno.writeTextFile(`${stage}/work.sh`, workText(settings));
  await linkOrCopy(Deno.execPath(), `${stage}/deno/deno`);
  await copyCheckout(`${stage}/checkout`);
  await copyDenoDirectory(`${stage}/deno-dir`);
  await copyTree(cacheDirectory(), `${stage}/cache/dinovisor`, isArtifact);
  return await pack(stage, `${directory}/run.ext4`);
}

function settingsText(settings: RunSettings): string {
  const { terminal } = settings;
  return assignments({
    LAB_TOKEN: settings.token,
    LAB_ROOT: ROOT,
    LAB_LIMIT_SECONDS: String(settings.limitSeconds ?? ""),
    LAB_TERMINAL: terminal === undefined ? "" : "1",
    LAB_COLUMNS: String(terminal?.columns ?? 80),
    LAB_ROWS: String(terminal?.rows ?? 24),
  });
}

function workText(settings: RunSettings): string {
  const fixed = {
    DENO_DIR: "/lab/deno-dir",
    XDG_CACHE_HOME: "/lab/cache",
    DENO_NO_UPDATE_CHECK: "1",
  };
  return `set -a\n${assignments({ ...fixed, ...settings.environment })}set +a\n${settings.work}\n`;
}

function assignments(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables).map(([name, value]) => `${name}=${quoted(value)}\n`).join("");
}

/** `text` as one word of a POSIX shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Tracked files and new ones, as they are now; ignored ones stay out. */
async function copyCheckout(to: string): Promise<void> {
  const list = await output("git", ["-C", ROOT, "ls-files", "-z", "-co", "--exclude-standard"]);
  const made = new Set<string>();
  for (const path of list.split("\0").filter((name) => name !== "")) {
    const folder = `${to}/${path}`.replace(/\/[^/]*$/, "");
    if (!made.has(folder)) await Deno.mkdir(folder, { recursive: true });
    made.add(folder);
    try {
      await Deno.copyFile(`${ROOT}/${path}`, `${to}/${path}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // tracked, and removed by hand
    }
  }
}

/** npm packages, because there is no network in the lab, and our compiled modules, because TCG is slow. */
async function copyDenoDirectory(to: string): Promise<void> {
  const info = JSON.parse(await output(Deno.execPath(), ["info", "--json"]));
  await copyTree(info.npmCache, `${to}/npm`);
  await copyTree(`${info.typescriptCache}/file${ROOT}`, `${to}/gen/file${ROOT}`);
}

/** Not the lab's own images, nor people's roots, nor what builders leave beside their results. */
function isArtifact(path: string): boolean {
  return path !== "lab" && !/\.(?:log|lock)$|\.tmp-|\/rootfs\.ext4-/.test(path);
}

async function copyTree(
  from: string,
  to: string,
  wanted: (path: string) => boolean = () => true,
  below = "",
): Promise<void> {
  try {
    await Deno.mkdir(to, { recursive: true });
    for await (const { name, isDirectory, isSymlink } of Deno.readDir(from)) {
      const path = below + name;
      if (!wanted(path)) continue;
      const [source, target] = [`${from}/${name}`, `${to}/${name}`];
      if (isDirectory) await copyTree(source, target, wanted, `${path}/`);
      else if (isSymlink) await Deno.symlink(await Deno.readLink(source), target);
      else await linkOrCopy(source, target);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // nothing there yet, or just gone
  }
}

/** A link where both are on one file system: the copy is made by mke2fs soon after. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await Deno.link(await Deno.realPath(from), to);
  } catch {
    await Deno.copyFile(from, to);
  }
}

async function pack(stage: string, disk: string): Promise<string> {
  const used = Number((await output("du", ["-sB1", stage])).split("\t")[0]);
  const size = `${Math.ceil((used + SPARE_BYTES) / MIB)}M`;
  const layout = ["-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "lazy_itable_init=1"];
  await output("mke2fs", ["-q", "-F", ...layout, "-d", stage, disk, size]);
  await Deno.remove(stage, { recursive: true });
  return disk;
}

async function output(program: string, args: readonly string[]): Promise<string> {
  const path = `${Deno.env.get("PATH") ?? ""}:/usr/sbin:/sbin`;
  const command = new Deno.Command(program, {
    args: [...args],
    env: { NO_COLOR: "1", PATH: path },
    stdin: "null",
  });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  if (success) return decoder.decode(stdout);
  throw new Error(`Cannot make the lab's disk: ${program} failed: ${decoder.decode(stderr)}`);
}
