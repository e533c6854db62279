/**
 * The matrix of Linux guests: our own kernel, which boots on every host, and Debian's cloud kernels, which need a
 * host that runs ring 0 in hardware. `guestTest` registers one test for each kernel. Run directly, this module gets
 * every kernel and the tools image into the cache, so that the tests need no network.
 */
import { blockKind } from "../../devices/block/kind.ts";
import type { ConsoleConfigMode, MachineConfig } from "../../src/machine/config.ts";
import {
  type DebianSuite,
  ensureKernel,
  ensureStockKernel,
  execWord,
  findStockKernel,
} from "../../src/guest/mod.ts";
import { recordCase, recorded } from "./case_log.ts";
import { CliProcess, type CliResult, commandLine, shellWords } from "./cli_process.ts";
import { ensureKrunKernel, findKrunKernel } from "./krun_kernel.ts";
import { byHost, HOST_KIND, hostMemoryMib } from "./host_kind.ts";
import { kvmRefusal, kvmTest } from "./kvm.ts";
import { ensureToolsImage } from "./tools_image.ts";

const SUITES = ["bookworm", "trixie", "sid"] as const satisfies readonly DebianSuite[];
/** What a stock kernel supports (CONFIG_NR_CPUS) is far above what a test asks for. */
const STOCK_VCPUS = 32;
/** Their setup headers (init_size) ask for 68 to 77 MiB below the end of RAM. */
const STOCK_MEMORY_MIB = 80;
/**
 * QEMU's TCG runs a nested guest's XSETBV without telling the nested KVM, whose CPUID leaf 0xD then keeps the size for
 * x87 and SSE alone. Linux 6 warns and does without XSAVE; Linux 7 dies of it.
 */
const HOST_WORDS = byHost({ hardware: "", nested: " noxsave", emulated: "" });
const PROGRESS = { stage: (name: string) => console.log(`guest: ${name}`), fraction() {} };

/** Whether the cases that take long are wanted, too. */
export const LONG = Deno.env.get("DINOVISOR_TESTS") === "long";
/** For one boot and its work, far above what it takes on a busy host. */
const RUN_LIMIT_MS = LONG
  ? byHost({ hardware: 10 * 60_000, nested: 60 * 60_000, emulated: 80 * 60_000 })
  : byHost({ hardware: 120_000, nested: 120_000, emulated: 240_000 });
/** For a case of several boots, and on the first one of a machine's life the build of our kernel. */
const CASE_LIMIT_MS = (LONG ? 90 : 20) * 60_000;

/** Files to boot. */
interface KernelFiles {
  readonly kernel: string;
  readonly initrd?: string;
}

/** What some kernels have and others do not: ACPI's power button, an 8250 driver, a way to power off. */
export type GuestPart = "power button" | "serial port" | "power-off";

/** A kernel of the matrix. */
export interface LinuxGuest {
  readonly name: string;
  readonly maxVcpus: number;
  /** What it needs to unpack itself, in MiB. */
  readonly leastMemoryMib: number;
  /** What it is built without. */
  readonly lacks: readonly GuestPart[];
  /** Why it cannot run on this host. */
  readonly refusal?: string;
  /** Its files, which are built first where the cache has none. */
  files(): Promise<KernelFiles>;
}

const OURS: LinuxGuest = {
  name: "ours",
  maxVcpus: 1,
  leastMemoryMib: 32,
  lacks: ["power button"],
  files: async () => ({ kernel: (await ensureKernel({ progress: PROGRESS })).path }),
};

/** libkrunfw's kernel: devices by command line, processors by MP table, hvc0 only, no initrd. */
const KRUN: LinuxGuest = {
  name: "krun",
  maxVcpus: 8,
  leastMemoryMib: 64,
  lacks: ["power button", "serial port", "power-off"],
  ...optional(stockRefusal("krun", await findKrunKernel())),
  files: async () => ({ kernel: (await ensureKrunKernel({ progress: PROGRESS })).path }),
};

/** All kernels, whether they can run here or not. */
export const LINUX_GUESTS: readonly LinuxGuest[] = [
  OURS,
  ...await Promise.all(SUITES.map(stock)),
  KRUN,
];

async function stock(suite: DebianSuite): Promise<LinuxGuest> {
  return {
    name: suite,
    maxVcpus: STOCK_VCPUS,
    leastMemoryMib: STOCK_MEMORY_MIB,
    lacks: [],
    ...optional(stockRefusal(suite, await findStockKernel(suite))),
    files: () => ensureStockKernel(suite, { progress: PROGRESS }),
  };
}

function stockRefusal(name: string, found: unknown): string | undefined {
  if (HOST_KIND === "emulated") {
    return "Debian's kernels cannot run where KVM emulates guest ring 0: hosts with vmx or svm, and the lab, run them";
  }
  if (found !== undefined) return undefined;
  return `the kernel "${name}" is not in the cache: deno run -A tests/support/linux_guests.ts gets it`;
}

function optional(refusal: string | undefined): { readonly refusal?: string } {
  return refusal === undefined ? {} : { refusal };
}

/** What a case needs of guest and host. */
export interface CaseNeeds {
  readonly vcpus?: number;
  readonly memoryMib?: number;
  /** What the kernel must be built with. */
  readonly parts?: readonly GuestPart[];
  /** Only with DINOVISOR_TESTS=long. */
  readonly long?: boolean;
  /** What else it needs that is not there. */
  readonly missing?: string | undefined;
}

/** Registers `work` as one test for each kernel, or as an ignored one with the reason printed. */
export function guestTest(
  name: string,
  work: (guest: ReadyGuest) => Promise<void>,
  needs: CaseNeeds = {},
): void {
  for (const guest of LINUX_GUESTS) {
    const ignore = kvmRefusal() ?? guest.refusal ?? needs.missing ?? unmet(needs, guest);
    if (ignore !== undefined) {
      recordCase({ case: name, kernel: guest.name, result: "not possible", reason: ignore });
    }
    kvmTest(`${name} on ${guest.name}`, async () => {
      const ready = new ReadyGuest(await guest.files(), await ensureToolsImage(console.log));
      await recorded(name, guest.name, work(ready));
    }, { limitMs: CASE_LIMIT_MS, ignore });
  }
}

function unmet(needs: CaseNeeds, guest: LinuxGuest): string | undefined {
  const { vcpus = 1, memoryMib = 0, parts = [], long = false } = needs;
  const missing = parts.find((part) => guest.lacks.includes(part));
  if (missing !== undefined) return `the kernel "${guest.name}" knows no ${missing}`;
  if (vcpus > guest.maxVcpus) {
    return `the kernel "${guest.name}" is built for ${guest.maxVcpus} CPU`;
  }
  if (memoryMib > 0 && memoryMib < guest.leastMemoryMib) {
    return `the kernel "${guest.name}" needs ${guest.leastMemoryMib} MiB`;
  }
  const host = Math.floor(hostMemoryMib());
  if (memoryMib > host) return `a machine of ${memoryMib} MiB: this host has ${host} MiB`;
  return long && !LONG ? "it takes long: set DINOVISOR_TESTS=long" : undefined;
}

/** One boot of a guest. */
export interface GuestRun {
  /** For /bin/sh in the guest; its status is the run's. About a kilobyte at most. */
  readonly script: string;
  /** Values of --disk. The first one is /dev/vdb. */
  readonly disks?: readonly string[];
  readonly memoryMib?: number;
  readonly vcpus?: number;
  readonly console?: ConsoleConfigMode["mode"] & ("serial" | "virtio");
  /** More words for `dinovisor run`. */
  readonly flags?: readonly string[];
  /** Path of a file for --report. */
  readonly report?: string;
  /** Words before the command itself: a network namespace. */
  readonly prefix?: readonly string[];
}

/** A kernel and a root image with tools, ready to boot. */
export class ReadyGuest {
  readonly #files: KernelFiles;
  readonly #root: string;

  constructor(files: KernelFiles, root: string) {
    this.#files = files;
    this.#root = root;
  }

  /** The words for `dinovisor`. */
  words(run: GuestRun): string[] {
    const { kernel, initrd } = this.#files;
    const disks = [`${this.#root},ro,id=root`, ...(run.disks ?? [])];
    return [
      ...["run", "-k", kernel, ...(initrd === undefined ? [] : ["--initrd", initrd])],
      ...["-m", String(run.memoryMib ?? 256), "-c", String(run.vcpus ?? 1)],
      ...["--console", run.console ?? "virtio"],
      ...["--cmdline", wordsOf(run)],
      ...disks.flatMap((disk) => ["--disk", disk]),
      ...(run.flags ?? []),
      ...(run.report === undefined ? [] : ["--report", run.report]),
    ];
  }

  /** The same as a machine of this process, whose console is the serial port and goes into the file `output`. */
  config(run: GuestRun, output: string): MachineConfig {
    const { kernel: image, initrd } = this.#files;
    return {
      kernel: { image, ...(initrd === undefined ? {} : { initrd }), cmdline: wordsOf(run) },
      memoryMib: run.memoryMib ?? 256,
      vcpus: run.vcpus ?? 1,
      discovery: "auto",
      console: { mode: "file", path: output },
      devices: [
        { kind: "block", path: this.#root, readOnly: true, direct: false, id: "root" },
        ...(run.disks ?? []).map(blockKind.parse),
      ],
    };
  }

  /** Boots and waits for the end. */
  async run(run: GuestRun): Promise<CliResult> {
    await using process = this.start(run, new Uint8Array());
    return await process.ended;
  }

  /** Boots, with stdin open for more. */
  start(run: GuestRun, stdin: "open" | Uint8Array = "open"): CliProcess {
    const { prefix = [] } = run;
    return CliProcess.spawn(this.words(run), { stdin, prefix, limitMs: RUN_LIMIT_MS });
  }

  /** Boots on a terminal of `columns` × `rows`. The first line on it is the terminal's name. */
  startOnTerminal(run: GuestRun, columns: number, rows: number): CliProcess {
    const command = shellWords(commandLine(this.words(run)));
    return CliProcess.onTerminal(`tty; stty cols ${columns} rows ${rows}; exec ${command}`, {
      limitMs: RUN_LIMIT_MS,
    });
  }
}

function wordsOf(run: GuestRun): string {
  return `root=/dev/vda ro quiet loglevel=3${HOST_WORDS} ${execWord(run.script)}`;
}

/** How long a wait for a guest's output may take. */
export const OUTPUT_MS = RUN_LIMIT_MS;

/** Gets all kernels and the tools image into the cache: for hosts, like the lab's, that have no network. */
async function fillGuestCache(): Promise<void> {
  console.log(await ensureToolsImage(console.error));
  console.log((await OURS.files()).kernel);
  console.log((await KRUN.files()).kernel);
  for (const suite of SUITES) {
    const { version, kernel, initrd } = await ensureStockKernel(suite, { progress: PROGRESS });
    console.log(`${suite} ${version}: ${kernel} ${initrd}`);
  }
}

if (import.meta.main) await fillGuestCache();
