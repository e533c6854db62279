/** `dinovisor kernel build` and `dinovisor kernel check`. */
import { architecture, type KernelInfo } from "../arch/mod.ts";
import type { BuildOptions, GuestFile } from "../guest/mod.ts";
import { FileImage } from "../machine/image_source.ts";
import { ProgressLine } from "./build_progress.ts";
import { printProblems, ProblemsFound } from "./errors.ts";
import { STATUS_ERROR, stopOutcome } from "./exit_status.ts";
import { type KernelMarks, scanKernel } from "./kernel_marks.ts";
import { writeError, writeResult } from "./output.ts";
import { type ParsedWords, parseWords } from "./parse.ts";
import { StopRequest } from "./stop_request.ts";
import { windowSize } from "./terminal.ts";

/** Builds the default guest, or finds it built; prints the kernel's path. */
export async function kernelBuild(words: readonly string[]): Promise<number> {
  const { values, problems } = parseWords("kernel build", words);
  if (problems.length > 0) throw new ProblemsFound(problems);
  const stop = new StopRequest();
  using _signals = stop.watchSignals(() => Deno.exit(STATUS_ERROR));
  try {
    const [kernel, root] = await buildGuest(values, stop.signal);
    if (values.has("json")) writeResult(JSON.stringify({ kernel, root }, undefined, 2));
    else writeResult(kernel.path);
    return 0;
  } catch (error) {
    const { cause } = stop;
    if (cause === undefined || error !== stop.signal.reason) throw error;
    return stopOutcome(cause).code;
  }
}

async function buildGuest(
  values: ParsedWords["values"],
  signal: AbortSignal,
): Promise<[kernel: GuestFile, root: GuestFile]> {
  const { ensureKernel, ensureRootImage } = await import("../guest/mod.ts");
  const silent = values.has("quiet") || values.has("json");
  using progress = new ProgressLine({
    silent,
    bar: Deno.stderr.isTerminal(),
    columns: windowSize().columns,
  });
  const options: BuildOptions = {
    progress,
    signal,
    rebuild: values.has("rebuild"),
    refresh: true,
  };
  const kernel = await ensureKernel(options);
  const root = await ensureRootImage(options);
  if (!silent) [kernel, root].forEach((file) => tellFile(file, values.has("verbose")));
  return [kernel, root];
}

function tellFile({ path, built, elapsedMs, facts }: GuestFile, verbose: boolean): void {
  writeError(built ? `built ${path} in ${Math.round(elapsedMs / 1000)}s` : `up to date: ${path}`);
  if (!verbose) return;
  for (const [name, value] of Object.entries(facts)) writeError(`  ${name}: ${value}`);
}

/** Shows what a kernel file is, and what can be told about how it finds its devices. */
export function kernelCheck(words: readonly string[]): number {
  const { values, operands, problems } = parseWords("kernel check", words);
  if (problems.length > 0) throw new ProblemsFound(problems);
  const [path = ""] = operands;
  using source = openKernel(path);
  const info = architecture().inspectKernel(source);
  const marks = scanKernel(source, info.format);
  if (values.has("json")) writeResult(JSON.stringify({ path, ...info, ...marks }, undefined, 2));
  else writeResult([...infoLines(path, info), ...markLines(marks)].join("\n"));
  if (marks.readable && marks.discovery.length === 0) {
    printProblems([{
      field: "PATH",
      code: "KERNEL_NO_DISCOVERY",
      message: `Kernel "${path}" shows no way to find virtio-mmio devices`,
      hint: "it needs CONFIG_VIRTIO_MMIO, with CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES for now",
    }], { json: values.has("json"), verbose: false });
  }
  return 0;
}

function openKernel(path: string): FileImage {
  try {
    if (!Deno.statSync(path).isDirectory) return new FileImage(path);
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound;
    if (!missing && !(error instanceof Deno.errors.PermissionDenied)) throw error;
    const message = missing
      ? `Cannot find kernel "${path}"`
      : `Cannot open kernel "${path}": permission denied`;
    const code = missing ? "KERNEL_NOT_FOUND" : "KERNEL_ACCESS";
    throw new ProblemsFound([{ field: "PATH", code, message, hint: "check the path" }]);
  }
  const message = `Cannot read kernel "${path}": it is a directory`;
  throw new ProblemsFound([{ field: "PATH", code: "KERNEL_IS_DIRECTORY", message }]);
}

function infoLines(path: string, info: KernelInfo): string[] {
  const entries = [
    ...(info.entry === undefined ? [] : [`native at 0x${info.entry.toString(16)}`]),
    ...(info.pvhEntry === undefined ? [] : [`PVH at 0x${info.pvhEntry.toString(16)}`]),
  ];
  return [
    line("file", path),
    line("format", `${info.format}: ${info.description}`),
    line("entry", entries.join(", ")),
    line("loads at", `0x${info.lowest.toString(16)} to 0x${info.highest.toString(16)}`),
    line("memory", `at least ${Math.ceil(info.minimumRam / 2 ** 20)} MiB to load`),
    line("command line", `at most ${info.cmdlineMax} bytes`),
  ];
}

function markLines(marks: KernelMarks): string[] {
  if (!marks.readable) {
    const why = "unknown: the kernel proper is compressed; try the vmlinux it was made from";
    return [line("discovery", why)];
  }
  const names = (list: readonly string[]) => list.length === 0 ? "none found" : list.join(", ");
  return [
    line("discovery", names(marks.discovery)),
    line("built in", names(marks.drivers)),
    line("", "(names found in the image; drivers may also come as modules)"),
  ];
}

function line(name: string, value: string): string {
  return `${name.padEnd(14)}${value}`;
}
