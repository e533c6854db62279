/** `dinovisor kernel check`: what a kernel file is, what the kernel in it can do, and how it will be told its devices. */
import {
  architecture,
  type DiscoveryChoice,
  type DiscoverySupport,
  type KernelContents,
  type KernelInfo,
} from "../arch/mod.ts";
import { FileImage, KERNEL_DIRECTORY_HINT } from "../machine/image_source.ts";
import { kernelContents } from "../machine/kernel_knowledge.ts";
import { ProblemsFound } from "./errors.ts";
import { DRIVERS, kernelHints, SYSTEM } from "./kernel_words.ts";
import { writeResult } from "./output.ts";
import { parseWords } from "./parse.ts";

/** All that is said about one kernel; printed as it is with --json. */
export interface KernelReport extends KernelInfo {
  readonly path: string;
  readonly contents: KernelContents;
  /** Best first. */
  readonly discovery: readonly DiscoverySupport[];
  /** What `--discovery auto` does with the default command line. */
  readonly auto: DiscoveryChoice;
  readonly hints: readonly string[];
}

/** Runs the words after `kernel check`. */
export function kernelCheck(words: readonly string[]): number {
  const { values, operands, problems } = parseWords("kernel check", words);
  if (problems.length > 0) throw new ProblemsFound(problems);
  const [path = ""] = operands;
  using source = openKernel(path);
  const info = architecture().inspectKernel(source);
  const report = kernelReport(path, info, kernelContents(path));
  writeResult(values.has("json") ? JSON.stringify(report, undefined, 2) : reportText(report));
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
  throw new ProblemsFound([{
    field: "PATH",
    code: "KERNEL_IS_DIRECTORY",
    message,
    hint: KERNEL_DIRECTORY_HINT,
  }]);
}

/** Puts together what its headers and its contents mean. */
export function kernelReport(
  path: string,
  info: KernelInfo,
  contents: KernelContents,
): KernelReport {
  const { defaultCmdline, discoverySupport, chooseDiscovery } = architecture();
  const auto = chooseDiscovery(contents, defaultCmdline);
  return {
    path,
    ...info,
    contents,
    discovery: discoverySupport(contents, defaultCmdline),
    auto,
    hints: kernelHints(contents, auto.method),
  };
}

/** The report for people, without a final line break. */
export function reportText(report: KernelReport): string {
  const { auto, hints } = report;
  return [
    ...fileLines(report),
    ...contentsLines(report.contents),
    ...(report.contents.kind === "linux" ? report.discovery.map(supportLine) : []),
    line("auto picks", `${auto.method}: ${auto.reason}`),
    ...(auto.warning === undefined ? [] : [`warning: ${auto.warning.message}`]),
    ...(auto.warning === undefined ? hints : [auto.warning.hint, ...hints])
      .map((hint) => `hint: ${hint}`),
  ].join("\n");
}

function fileLines(report: KernelReport): string[] {
  const entries = [
    ...(report.entry === undefined ? [] : [`native at 0x${report.entry.toString(16)}`]),
    ...(report.pvhEntry === undefined ? [] : [`PVH at 0x${report.pvhEntry.toString(16)}`]),
  ];
  return [
    line("file", report.path),
    line("format", `${report.format}: ${report.description}`),
    line("entry", entries.join(", ")),
    line("loads at", `0x${report.lowest.toString(16)} to 0x${report.highest.toString(16)}`),
    line("memory", `at least ${Math.ceil(report.minimumRam / 2 ** 20)} MiB to load`),
    line("command line", `at most ${report.cmdlineMax} bytes`),
  ];
}

function contentsLines(contents: KernelContents): string[] {
  if (contents.kind === "other") return [line("kernel", "not Linux: its image tells nothing")];
  if (contents.kind === "closed") return [line("kernel", `cannot be looked into: ${contents.why}`)];
  const { version, features } = contents;
  const drivers = [...DRIVERS];
  const absent = drivers.filter(([feature]) => !features.includes(feature));
  const lacking = features.includes("modules") ? "only as modules" : "not there";
  return [
    line("kernel", `Linux ${version}`),
    line("can", namesOf([...SYSTEM].filter(([feature]) => features.includes(feature)))),
    line("cannot", namesOf([...SYSTEM].filter(([feature]) => !features.includes(feature)))),
    line("built in", namesOf(drivers.filter(([feature]) => features.includes(feature)))),
    ...(absent.length === 0 ? [] : [line(lacking, namesOf(absent))]),
  ];
}

function namesOf(list: readonly (readonly [feature: string, name: string])[]): string {
  return list.length === 0 ? "nothing" : list.map(([, name]) => name).join(", ");
}

function supportLine({ method, works, why }: DiscoverySupport): string {
  return line(`by ${method}`, `${works}: ${why}`);
}

function line(name: string, value: string): string {
  return `${name.padEnd(16)}${value}`;
}
