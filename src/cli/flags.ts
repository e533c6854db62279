/**
 * The one table of commands and flags. Parsing, help, completion and "did you mean" are all derived from it, so
 * a flag is added here and read in the command's own page.
 */
import { blockKind } from "../../devices/block/kind.ts";
import { netKind } from "../../devices/net/kind.ts";
import { rngKind } from "../../devices/rng/kind.ts";
import { vsockKind } from "../../devices/vsock/kind.ts";
import { ROOTFS_SYNTAX } from "./rootfs.ts";

export type CommandName =
  | "run"
  | "test"
  | "doctor"
  | "kernel build"
  | "kernel check"
  | "kernel initrd"
  | "version"
  | "completion"
  | "help";

export interface Command {
  readonly name: CommandName;
  /** What may follow the flags, for the usage line. */
  readonly operands?: string;
  /** Fewest and most operands. */
  readonly operandCount: readonly [min: number, max: number];
  /** One line. */
  readonly summary: string;
  /** What a shell offers as operand: file names, or these words. */
  readonly offers?: "files" | readonly string[];
  readonly examples?: readonly string[];
}

export interface Flag {
  /** Without the dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** How the value is written; a flag without one is a switch. */
  readonly value?: string;
  /** The value it has when it is not given, in words. */
  readonly fallback?: string;
  /** One line, lower case, no full stop. */
  readonly help: string;
  /** May be given more than once. */
  readonly repeat?: true;
  readonly commands: readonly CommandName[];
  /** What a shell offers as value: file names, or these words. */
  readonly offers?: "files" | readonly string[];
}

export const SHELLS = ["bash", "zsh", "fish"] as const;

export const COMMANDS: readonly Command[] = [
  {
    name: "run",
    operands: "[-- CMD ARGS…]",
    operandCount: [0, 0],
    summary: "boot a machine and attach its console; with CMD, run that and exit with its status",
    examples: [
      "dinovisor run",
      "dinovisor run -- uname -a",
      "dinovisor run -e LEVEL=9 -w /tmp -- sh -c 'gzip -$LEVEL' < file > file.gz",
      "dinovisor run --rootfs image.tar           # what docker save wrote: its entrypoint and command",
      "dinovisor run --rootfs debian/ -- apt --version",
      "dinovisor run -k vmlinux --initrd init.cpio.gz -m 512M -c 2",
      "dinovisor run -k bzImage --disk root.img,ro --cmdline 'root=/dev/vda'",
    ],
  },
  {
    name: "test",
    operands: "FILE… [-- ARGS FOR deno test]",
    operandCount: [1, Infinity],
    summary: "run tests that boot a kernel (bootForTest of @dinovisor/dinovisor/testing)",
    offers: "files",
    examples: [
      "dinovisor test boot_test.ts -k build/vmlinux",
      "dinovisor test tests/ -k bzImage --update -- --parallel",
    ],
  },
  {
    name: "doctor",
    operandCount: [0, 0],
    summary: "show what this host can do, with a hint for each gap",
  },
  {
    name: "kernel build",
    operandCount: [0, 0],
    summary: "build or download (or reuse) the default guest, print its kernel's path",
  },
  {
    name: "kernel check",
    operands: "PATH",
    operandCount: [1, 1],
    summary: "show what a kernel file is and how its devices can be announced to it",
    offers: "files",
  },
  {
    name: "kernel initrd",
    operands: "MODULE_FOLDER",
    operandCount: [1, 1],
    summary: "write an initrd that loads a kernel's modules and mounts root=",
    offers: "files",
    examples: [
      "dinovisor kernel initrd /lib/modules/6.1.0-40-cloud-amd64 -o initrd",
      "dinovisor kernel initrd lib/modules/6.12.9 -o new.img --append old.img --module xfs",
    ],
  },
  { name: "version", operandCount: [0, 0], summary: "print versions" },
  {
    name: "completion",
    operands: "SHELL",
    operandCount: [1, 1],
    summary: "print a completion script: bash, zsh or fish",
    offers: SHELLS,
    examples: [
      'eval "$(dinovisor completion bash)"',
      "dinovisor completion fish > ~/.config/fish/completions/dinovisor.fish",
    ],
  },
  { name: "help", operands: "[COMMAND]", operandCount: [0, 2], summary: "show help" },
];

const EVERY: readonly CommandName[] = COMMANDS.map((command) => command.name);

/** In the order help shows them. */
export const FLAGS: readonly Flag[] = [
  {
    name: "kernel",
    short: "k",
    value: "PATH",
    fallback: "the default guest",
    help: "ELF vmlinux (PVH or 64-bit entry) or bzImage",
    commands: ["run"],
    offers: "files",
  },
  {
    name: "kernel",
    short: "k",
    value: "PATH",
    fallback: "what each test names",
    help: "ELF vmlinux or bzImage for tests that name none",
    commands: ["test"],
    offers: "files",
  },
  {
    name: "rootfs",
    value: ROOTFS_SYNTAX,
    fallback: "a small one with a shell",
    help: "root: directory, tar, OCI image or disk image",
    commands: ["run"],
    offers: "files",
  },
  {
    name: "initrd",
    value: "PATH",
    help: "initial RAM disk",
    commands: ["run", "test"],
    offers: "files",
  },
  { name: "cmdline", value: "WORDS", help: "words added to the kernel's", commands: ["run"] },
  {
    name: "cmdline-only",
    value: "WORDS",
    help: "words instead of the default ones",
    commands: ["run"],
  },
  {
    name: "mem",
    short: "m",
    value: "SIZE",
    fallback: "128M",
    help: "memory: 128M, 1G, 512MiB; a plain number is MiB",
    commands: ["run"],
  },
  {
    name: "mem",
    short: "m",
    value: "SIZE",
    fallback: "64M",
    help: "memory where a test says nothing: 128M, 1G, 512MiB",
    commands: ["test"],
  },
  {
    name: "cpus",
    short: "c",
    value: "N",
    fallback: "1",
    help: "virtual processors",
    commands: ["run", "test"],
  },
  {
    name: "filter",
    value: "TEXT",
    help: "only the tests with this in their names; /…/ is a pattern",
    commands: ["test"],
  },
  {
    name: "update",
    short: "u",
    help: "write the snapshots of assertConsole instead of comparing",
    commands: ["test"],
  },
  {
    name: "disk",
    value: blockKind.syntax,
    help: "disk image or block device; the default guest has /dev/vda already",
    repeat: true,
    commands: ["run"],
    offers: "files",
  },
  {
    name: "net",
    value: netKind.syntax,
    fallback: "none",
    help: "network card",
    repeat: true,
    commands: ["run"],
    offers: ["tap=", "user", "socket=", "listen=", "none"],
  },
  {
    name: "publish",
    short: "p",
    value: "[ADDR:]HOST:GUEST",
    help: "TCP port of the host that leads to one of the guest; for --net user",
    repeat: true,
    commands: ["run"],
  },
  {
    name: "vsock",
    value: vsockKind.syntax,
    help: "host-guest sockets; PATH speaks CONNECT PORT",
    commands: ["run"],
  },
  {
    name: "rng",
    value: rngKind.syntax,
    fallback: "none",
    help: "a source of random numbers; Linux gets a boot seed without it",
    commands: ["run"],
    offers: ["none", "on", "on,rate="],
  },
  {
    name: "console",
    value: "serial|virtio|file=PATH|off",
    fallback: "serial until the guest has hvc0",
    help: "where the guest's console goes",
    commands: ["run"],
    offers: ["serial", "virtio", "file=", "off"],
  },
  {
    name: "discovery",
    value: "auto|fdt|acpi|cmdline",
    fallback: "auto",
    help: "how the guest is told about its devices",
    commands: ["run"],
    offers: ["auto", "fdt", "acpi", "cmdline"],
  },
  {
    name: "interactive",
    short: "i",
    help: "CMD gets what is typed here, even without a terminal; what is piped it gets anyway",
    commands: ["run"],
  },
  {
    name: "tty",
    short: "t",
    fallback: "when stdin and stdout are terminals",
    help: "CMD has a terminal of its own",
    commands: ["run"],
  },
  { name: "no-tty", help: "CMD has none", commands: ["run"] },
  {
    name: "env",
    short: "e",
    value: "NAME[=VALUE]",
    help: "variable for CMD; the value it has here when left out",
    repeat: true,
    commands: ["run"],
  },
  {
    name: "env-file",
    value: "FILE",
    help: "variables for CMD, one a line; --env beats it",
    repeat: true,
    commands: ["run"],
    offers: "files",
  },
  {
    name: "workdir",
    short: "w",
    value: "DIR",
    fallback: "/root",
    help: "where CMD runs, in the guest",
    commands: ["run"],
  },
  {
    name: "user",
    short: "u",
    value: "USER[:GROUP]",
    fallback: "root",
    help: "who CMD is: names of the guest, or ids",
    commands: ["run"],
  },
  {
    name: "timeout",
    value: "TIME",
    help: "stop the guest after 30s, 5m or 1500ms; exit status 124",
    commands: ["run"],
  },
  {
    name: "report",
    value: "FILE.json",
    help: "write how it ended, and why, as JSON",
    commands: ["run"],
    offers: "files",
  },
  { name: "dry-run", help: "print the plan as JSON, start nothing", commands: ["run"] },
  {
    name: "guest",
    value: "stock|built",
    fallback: "what suits this host",
    help: "which one: Debian's cloud kernel, or our own",
    commands: ["kernel build"],
    offers: ["stock", "built"],
  },
  {
    name: "output",
    short: "o",
    value: "FILE",
    help: "where to write it",
    commands: ["kernel initrd"],
    offers: "files",
  },
  {
    name: "append",
    value: "INITRD",
    help: "put ours behind this initrd, compressed or not",
    commands: ["kernel initrd"],
    offers: "files",
  },
  {
    name: "module",
    value: "NAME",
    fallback: "those our devices need",
    help: "one more module, with what it needs",
    repeat: true,
    commands: ["kernel initrd"],
  },
  {
    name: "rebuild",
    help: "build even what is there already",
    commands: ["kernel build"],
  },
  {
    name: "quiet",
    short: "q",
    help: "no progress, no hints; errors only",
    commands: ["run", "kernel build", "kernel initrd"],
  },
  {
    name: "verbose",
    short: "v",
    help: "more on stderr: what happens, the kernel's log, stack traces",
    commands: EVERY,
  },
  { name: "json", help: "errors as one JSON object on stderr", commands: ["run"] },
  {
    name: "json",
    help: "the result as JSON on stdout, errors as JSON on stderr",
    commands: ["doctor", "kernel build", "kernel check", "kernel initrd", "version"],
  },
  { name: "help", short: "h", help: "show this help", commands: EVERY },
];

/** The flags `command` takes, in the table's order. */
export function flagsOf(command: CommandName): readonly Flag[] {
  return FLAGS.filter((flag) => flag.commands.includes(command));
}

/** The command called `name`. */
export function commandOf(name: CommandName): Command {
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command === undefined) throw new Error(`No row for command "${name}"`);
  return command;
}
