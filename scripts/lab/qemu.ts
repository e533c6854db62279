/** The QEMU command line of the lab. Pure; called by `lab_host.ts`. */

/** What the machine is made of. */
export interface LabMachine {
  readonly kernel: string;
  /** The host image: root of the lab. */
  readonly image: string;
  /** The disk of this run: checkout, Deno, caches, first program. */
  readonly runDisk: string;
  readonly memoryMib: number;
  readonly cpus: number;
  /** Unix sockets where we listen: kernel console, stdout and stderr of the work. */
  readonly sockets: { readonly console: string; readonly output: string; readonly errors: string };
  /** Give the lab our own stdin and stdout as a terminal (/dev/hvc0). */
  readonly terminal: boolean;
  /** All kernel messages on the console, not only warnings. */
  readonly verbose: boolean;
}

/** Where the lab finds this run's disk; its first program is `init.sh` there. */
export const RUN_MOUNT = "/lab";

/** Both drivers are built into Debian's cloud kernel, so the lab needs no initrd. */
const ROOT_DEVICE = "/dev/nvme0n1";
const RUN_DEVICE = "/dev/nvme1n1";

/** TCG's translations; the default of a few times 32 MiB throws Deno's away again and again. */
const TRANSLATION_BUFFER_MIB = 512;

/** Port numbers of virtio-serial; 0 is the console's. `init.sh` knows them as /dev/vport0p1 and p2. */
const OUTPUT_PORT = 1;
const ERRORS_PORT = 2;

/** Arguments for `qemu-system-x86_64`. */
export function qemuArguments(machine: LabMachine): string[] {
  const { sockets } = machine;
  return [
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
    // `max` is the CPU model with SVM whose nested guests run; EPYC models hang at the first KVM_RUN.
    ...["-M", "q35", "-cpu", "max", "-smp", String(machine.cpus), "-m", String(machine.memoryMib)],
    ...["-accel", `tcg,thread=multi,tb-size=${TRANSLATION_BUFFER_MIB}`],
    ...["-kernel", machine.kernel, "-append", kernelCommandLine(machine.verbose)],
    ...disk("root", machine.image),
    ...disk("run", machine.runDisk),
    ...["-chardev", `socket,id=console,path=${sockets.console}`, "-serial", "chardev:console"],
    ...["-device", "virtio-serial-pci"],
    ...port("output", OUTPUT_PORT, sockets.output),
    ...port("errors", ERRORS_PORT, sockets.errors),
    ...(machine.terminal
      // Without `signal=off` Ctrl-C would end QEMU; so it reaches the shell.
      ? ["-chardev", "stdio,id=terminal,signal=off", "-device", "virtconsole,chardev=terminal,nr=0"]
      : []),
  ];
}

/** A disk whose writes go to a file that QEMU has already unlinked: the lab's changes end with it. */
function disk(name: string, path: string): string[] {
  // A comma in a value is written twice (qemu(1), -drive).
  const file = path.replaceAll(",", ",,");
  const drive = `id=${name},file=${file},format=raw,if=none,snapshot=on,cache=unsafe`;
  return ["-drive", drive, "-device", `nvme,drive=${name},serial=${name}`];
}

function port(name: string, number: number, socket: string): string[] {
  return [
    ...["-chardev", `socket,id=${name},path=${socket}`],
    ...["-device", `virtserialport,chardev=${name},name=${name},nr=${number}`],
  ];
}

/** A shell from the host image mounts the run's disk and becomes the first program there. */
function kernelCommandLine(verbose: boolean): string {
  const steps = [
    "mount -t devtmpfs dev /dev",
    `mkdir -p ${RUN_MOUNT}`,
    `mount ${RUN_DEVICE} ${RUN_MOUNT}`,
    `exec bash ${RUN_MOUNT}/init.sh`,
  ];
  const words = ["console=ttyS0", `root=${ROOT_DEVICE}`, "rw", "panic=-1", "mitigations=off"];
  // Not tsc=reliable: TCG's TSCs differ between CPUs (guests say so), and a host that trusts them loses its timers.
  words.push(verbose ? "ignore_loglevel" : "quiet", "init=/bin/sh");
  return `${words.join(" ")} -- -c "${steps.join("; ")}"`;
}

/** Guests of 5 GiB and the lab itself fit into this. */
const FULL_MEMORY_MIB = 7168;
/** Enough for all other guests. */
const SMALL_MEMORY_MIB = 3072;
/** What QEMU and the rest of this host need beside the lab's RAM. */
const HOST_RESERVE_MIB = 2048;

/** RAM for the lab when the user names none. The text is this host's /proc/meminfo. */
export function chosenMemoryMib(meminfo: string): number {
  const availableKib = Number(/^MemAvailable:\s*(\d+) kB/m.exec(meminfo)?.[1] ?? 0);
  return availableKib / 1024 >= FULL_MEMORY_MIB + HOST_RESERVE_MIB
    ? FULL_MEMORY_MIB
    : SMALL_MEMORY_MIB;
}
