/** The lab's command line: what to run in it, and how big it is. Pure; called by `scripts/lab.ts`. */
import { parseArgs } from "../../src/std/parse_args.ts";

/** What the lab does once it has booted. */
export type LabWork =
  /** The core set, every integration test, or the test files whose path contains one of the words. */
  | { readonly kind: "tests"; readonly choice: "core" | "all" | readonly string[] }
  | { readonly kind: "command"; readonly command: string }
  | { readonly kind: "shell" };

export interface LabOptions {
  readonly work: LabWork;
  /** RAM of the lab in MiB; undefined: as much as the tests want, if this host has it. */
  readonly memoryMib: number | undefined;
  readonly cpus: number;
  /** The whole run may take this many minutes; undefined: what the kind of work deserves. */
  readonly limitMinutes: number | undefined;
  /** Show the console of the lab's kernel while it runs. */
  readonly verbose: boolean;
  /** Leave the disk of this run where it is, and say where. */
  readonly keep: boolean;
  /** Build the host image anew, with the packages of today. */
  readonly rebuild: boolean;
  readonly help: boolean;
}

export const HELP = `A nested host with a real kvm_amd, under QEMU's TCG, and this checkout in it.

Usage: deno task lab [OPTIONS] [WORD…]

  (nothing)          the core set of integration tests, as CI runs it
  WORD…              the integration tests whose file name contains a WORD
  --all              the whole integration tier
  --run COMMAND      a shell command, in the checkout
  --shell            a shell in the lab on this terminal; exit ends the lab

  --memory MIB       RAM of the lab; 7168 if this host has it, else 3072
  --cpus N           its CPUs (1; with more, TCG's SVM is not reliable)
  --limit MINUTES    fail after that long (15 for the core set, 90 for tests, none for the rest)
  --verbose          show the kernel's console on stderr
  --keep             keep the run's disk
  --rebuild          build the host image anew
  --help             this text

Tests' output is on stdout, progress on stderr; the exit status is that of what ran inside.
`;

const TEXT_FLAGS = ["run", "memory", "cpus", "limit"];
const FLAGS = ["all", "shell", "verbose", "keep", "rebuild", "help"];
/** The lab's chipset knows this many CPUs without an interrupt remapper. */
const MAX_CPUS = 255;
/**
 * One, whatever this host has. With two, about one nested guest in five dies of a triple fault or stands still, and
 * sometimes the lab's own kernel with it: seen with every version of this monitor and with QEMU as the monitor in the
 * lab, under QEMU 7.2, 10.0 and 11.1, with one TCG thread and with two, with nested paging and without. With one CPU
 * none of 12 guests of four vCPUs did, and they take a half longer.
 */
const DEFAULT_CPUS = 1;
/** Below this the lab's own kernel and one Deno do not fit. */
const MIN_MEMORY_MIB = 1024;

/** Reads the command line; a string says what is wrong with it. */
export function parseOptions(words: readonly string[]): LabOptions | string {
  // `deno task lab -- WORD` hands over the dashes as well.
  const args = words[0] === "--" ? words.slice(1) : words;
  let unknown: string | undefined;
  const parsed = parseArgs(args, {
    string: [...TEXT_FLAGS, "_"],
    boolean: FLAGS,
    collect: [],
    unknown: (word, key) => {
      if (key !== undefined) unknown ??= word;
      return true;
    },
  });
  if (unknown !== undefined) return `there is no option "${unknown}"; see --help`;
  const work = workOf(parsed.run, parsed.all === true, parsed.shell === true, parsed._);
  if (typeof work === "string") return work;
  const memoryMib = count("memory", parsed.memory, MIN_MEMORY_MIB, Number.MAX_SAFE_INTEGER);
  const cpus = count("cpus", parsed.cpus, 1, MAX_CPUS);
  const limitMinutes = count("limit", parsed.limit, 1, Number.MAX_SAFE_INTEGER);
  for (const value of [memoryMib, cpus, limitMinutes]) if (typeof value === "string") return value;
  return {
    work,
    memoryMib: memoryMib as number | undefined,
    cpus: (cpus as number | undefined) ?? DEFAULT_CPUS,
    limitMinutes: limitMinutes as number | undefined,
    verbose: parsed.verbose === true,
    keep: parsed.keep === true,
    rebuild: parsed.rebuild === true,
    help: parsed.help === true,
  };
}

function workOf(
  command: unknown,
  all: boolean,
  shell: boolean,
  words: readonly string[],
): LabWork | string {
  const kinds = [typeof command === "string", all, shell, words.length > 0];
  if (kinds.filter(Boolean).length > 1) {
    return "--run, --all, --shell and WORD… exclude one another";
  }
  if (typeof command === "string") {
    return command === "" ? "--run takes a command" : { kind: "command", command };
  }
  if (shell) return { kind: "shell" };
  return { kind: "tests", choice: all ? "all" : words.length > 0 ? words : "core" };
}

function count(
  flag: string,
  text: unknown,
  least: number,
  most: number,
): number | string | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(String(text)) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `${least} or more` : `${least} to ${most}`;
  return `--${flag} takes a whole number, ${range}, not "${text}"`;
}
