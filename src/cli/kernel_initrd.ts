/** `dinovisor kernel initrd`: an initramfs with a kernel's modules, alone or behind a user's initrd. */
import {
  buildInitramfs,
  compileInitramfsProgram,
  GUEST_MODULES,
  type Initramfs,
} from "../guest/initramfs/mod.ts";
import type { BuildProgress } from "../guest/mod.ts";
import type { Problem } from "../virtio/device_kind.ts";
import { ProblemsFound } from "./errors.ts";
import { writeError, writeResult } from "./output.ts";
import { type ParsedWords, parseWords } from "./parse.ts";

/** What is to be written, and how much is said about it. */
interface InitrdSettings {
  readonly moduleFolder: string;
  readonly output: string;
  readonly append?: string;
  readonly modules: readonly string[];
  readonly json: boolean;
  readonly silent: boolean;
  readonly verbose: boolean;
}

/** Writes the initramfs; prints its path. */
export async function kernelInitrd(words: readonly string[]): Promise<number> {
  const settings = await readSettings(parseWords("kernel initrd", words));
  const { moduleFolder, append, output, modules } = settings;
  const initramfs = await buildInitramfs({
    moduleFolder,
    modules,
    optionalModules: GUEST_MODULES,
    program: await compileInitramfsProgram({ progress: progress(settings.silent) }),
    ...(append === undefined ? {} : { appendTo: append }),
  });
  try {
    await Deno.writeFile(output, initramfs.bytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ProblemsFound([
      problem("INITRD_WRITE", `Cannot write "${output}": ${reason}`, "name a file you may write"),
    ]);
  }
  tell(settings, initramfs);
  return 0;
}

async function readSettings(
  { values, operands, problems }: ParsedWords,
): Promise<InitrdSettings> {
  const [moduleFolder = ""] = operands;
  const [output] = values.get("output") ?? [];
  const [append] = values.get("append") ?? [];
  const all = [...problems];
  const given = problems.some(({ field }) => field === "--output");
  if (output === undefined && !given) {
    all.push(problem("OUTPUT_MISSING", "Flag --output is missing", "write --output FILE"));
  }
  if (output !== undefined && append !== undefined && await sameFile(output, append)) {
    const message = `Cannot write "${output}": it is the initrd that --append names`;
    all.push(problem("INITRD_WRITE", message, "name another file: --output FILE"));
  }
  if (all.length > 0 || output === undefined) throw new ProblemsFound(all);
  const json = values.has("json");
  return {
    moduleFolder,
    output,
    modules: values.get("module") ?? [],
    json,
    silent: json || values.has("quiet"),
    verbose: values.has("verbose"),
    ...(append === undefined ? {} : { append }),
  };
}

function problem(code: string, message: string, hint: string): Problem {
  return { field: "--output", code, message, hint };
}

async function sameFile(one: string, other: string): Promise<boolean> {
  try {
    return await Deno.realPath(one) === await Deno.realPath(other);
  } catch {
    return false; // one of them does not exist
  }
}

/** Compiling takes a moment; only what takes longer is worth a line. */
function progress(silent: boolean): BuildProgress {
  return {
    stage: (name, detail = "") => silent || writeError(`${name} ${detail}`.trimEnd()),
    fraction() {},
  };
}

function tell({ output, json, silent, verbose }: InitrdSettings, initramfs: Initramfs): void {
  const { bytes, loadOrder, release = null, words } = initramfs;
  if (json) {
    writeResult(JSON.stringify({ path: output, release, words, modules: loadOrder }, undefined, 2));
    return;
  }
  writeResult(output);
  if (silent) return;
  if (verbose) writeError(`load order: ${loadOrder.join(" ")}`);
  const size = `${(bytes.length / 2 ** 20).toFixed(1)} MiB`;
  writeError(`${loadOrder.length} modules for Linux ${release ?? "of any release"}, ${size}`);
  writeError(
    words === ""
      ? "the kernel's command line says what to mount: root=/dev/vda"
      : `add to the kernel's command line: ${words}`,
  );
}
