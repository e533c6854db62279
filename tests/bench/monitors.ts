/** The two monitors under test as command lines, run whole: exec to exit. Used by the rows of `main.ts`. */
import { commandLine } from "../support/cli_process.ts";

/** A disk as both monitors are to open it. */
export interface BenchDisk {
  readonly path: string;
  /** Past the host's page cache. */
  readonly direct: boolean;
  readonly readOnly?: boolean;
}

export interface Guest {
  readonly kernel: string;
  /** Without device words. */
  readonly cmdline: string;
  readonly memoryMib: number;
  readonly disks?: readonly BenchDisk[];
  readonly vcpus?: number;
}

/** How one monitor is started for a guest. */
export interface Monitor {
  readonly name: string;
  command(guest: Guest): string[];
}

let program: readonly string[] | undefined;

/** Measure this program from now on, not `deno run -A main.ts`. */
export function measureProgram(path: string): void {
  program = [path];
}

function diskFlags({ path, direct, readOnly }: BenchDisk): string[] {
  return ["--disk", `${path}${direct ? ",direct" : ""}${readOnly ? ",ro" : ""}`];
}

/** Ours. `flags` are added. */
export function dinovisor(name = "dinovisor", flags: readonly string[] = []): Monitor {
  return {
    name,
    command({ kernel, cmdline, memoryMib, disks = [], vcpus = 1 }) {
      const words = [
        ...["run", "-k", kernel, "-m", `${memoryMib}`, "-c", `${vcpus}`, "--cmdline-only", cmdline],
        ...disks.flatMap(diskFlags),
        ...flags,
      ];
      return program === undefined ? commandLine(words) : [...program, ...words];
    },
  };
}

const QEMU = "qemu-system-x86_64";

/** Each disk has a thread of its own. */
function qemuDisk(disk: BenchDisk, i: number, aio: string): string[] {
  const cache = disk.direct ? "none" : "writeback";
  return [
    ...["-object", `iothread,id=io${i}`, "-drive"],
    `if=none,id=d${i},format=raw,cache=${cache},aio=${aio},file=${disk.path}` +
    (disk.readOnly ? ",readonly=on" : ""),
    ...["-device", `virtio-blk-device,drive=d${i},iothread=io${i}`],
  ];
}

/** QEMU's smallest machine, with the disk on a thread of its own. */
export function qemu(
  aio: "native" | "io_uring" = "io_uring",
  serial = "stdio",
  name = "QEMU",
): Monitor {
  return {
    name,
    command({ kernel, cmdline, memoryMib, disks = [], vcpus = 1 }) {
      const drives = disks.flatMap((disk, i) => qemuDisk(disk, i, aio));
      return [
        ...[QEMU, "-M", "microvm,acpi=off,rtc=off", "-accel", "kvm", "-m", `${memoryMib}`],
        ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
        ...["-global", "virtio-mmio.force-legacy=false"],
        ...["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-serial", serial],
        ...["-smp", `${vcpus}`, "-kernel", kernel, "-append", cmdline, ...drives],
      ];
    },
  };
}

/** Its version; undefined when it is not installed. */
export async function qemuVersion(): Promise<string | undefined> {
  try {
    const { stdout } = await new Deno.Command(QEMU, { args: ["--version"] }).output();
    return new TextDecoder().decode(stdout).split("\n")[0];
  } catch {
    return undefined;
  }
}

export interface BenchRun {
  /** Whole process. */
  readonly ms: number;
  readonly stdout: string;
}

/** Runs `command` to its end. */
export async function runOnce([program = "", ...args]: readonly string[]): Promise<BenchRun> {
  const begin = performance.now();
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    stdin: "null",
    env: { DENO_NO_UPDATE_CHECK: "1" },
  }).output();
  const ms = performance.now() - begin;
  // 0 through isa-debug-exit is 1. QEMU also warns on stderr when all is well.
  if (code > 1) {
    const [said, complaint] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    throw new Error(`${program} ${args.join(" ")} ended with ${code}: ${said}${complaint}`);
  }
  return { ms, stdout: new TextDecoder().decode(stdout) };
}

/** Milliseconds until `text` shows on stdout; the process is killed then. */
export async function msUntil(text: string, command: readonly string[]): Promise<number> {
  const [program = "", ...args] = command;
  const begin = performance.now();
  // Its stdin stays open: the guest's shell must not see the end of it.
  const child = new Deno.Command(program, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let seen = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    seen += chunk;
    if (seen.includes(text)) break;
  }
  const ms = performance.now() - begin;
  child.kill("SIGKILL");
  await child.status;
  await child.stdin.close().catch(() => {});
  if (!seen.includes(text)) throw new Error(`${program} never printed ${text}: ${seen}`);
  return ms;
}
