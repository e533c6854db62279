/** `dinovisor kernel build`. */
import type { GuestFile } from "../guest/mod.ts";
import { ProgressLine } from "./build_progress.ts";
import { type EnsuredGuest, ensuredGuest } from "../guest/default_guest.ts";
import { ProblemsFound } from "./errors.ts";
import { STATUS_ERROR, stopOutcome } from "./exit_status.ts";
import { guestKind, hostGuestChoice } from "../guest/guest_choice.ts";
import { writeError, writeResult } from "./output.ts";
import { type ParsedWords, parseWords } from "./parse.ts";
import { StopRequest } from "./stop_request.ts";
import { windowSize } from "./terminal.ts";

/** Builds or downloads the default guest, or finds it there; prints the kernel's path. */
export async function kernelBuild(words: readonly string[]): Promise<number> {
  const { values, problems } = parseWords("kernel build", words);
  if (problems.length > 0) throw new ProblemsFound(problems);
  const stop = new StopRequest();
  stop.watchSignals(() => Deno.exit(STATUS_ERROR));
  try {
    const { files, parts } = await makeGuest(values, stop.signal);
    const { initrd } = files;
    if (!isSilent(values)) {
      for (const file of [parts.kernel, parts.root]) tellFile(file, values.has("verbose"));
    }
    const result = { ...parts, ...(initrd === undefined ? {} : { initrd: { path: initrd } }) };
    writeResult(values.has("json") ? JSON.stringify(result, undefined, 2) : parts.kernel.path);
    return 0;
  } catch (error) {
    const { cause } = stop;
    if (cause === undefined || error !== stop.signal.reason) throw error;
    return stopOutcome(cause).code;
  }
}

type Values = ParsedWords["values"];

async function makeGuest(values: Values, signal: AbortSignal): Promise<EnsuredGuest> {
  using progress = new ProgressLine({
    silent: isSilent(values),
    bar: Deno.stderr.isTerminal(),
    columns: windowSize().columns,
  });
  const [wish] = values.get("guest") ?? [];
  const kind = wish === undefined ? hostGuestChoice().kind : guestKind(wish, "--guest");
  const rebuild = values.has("rebuild");
  return await ensuredGuest(kind, { progress, signal, rebuild, refresh: true });
}

function isSilent(values: Values): boolean {
  return values.has("quiet") || values.has("json");
}

function tellFile({ path, built, elapsedMs, facts }: GuestFile, verbose: boolean): void {
  writeError(built ? `made ${path} in ${Math.round(elapsedMs / 1000)}s` : `up to date: ${path}`);
  if (!verbose) return;
  for (const [name, value] of Object.entries(facts)) writeError(`  ${name}: ${value}`);
}
