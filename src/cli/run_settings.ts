/** What `dinovisor run` was asked for: its words read into plain data, with everything that is wrong with them. */
import { type BlockConfig, blockKind } from "../../devices/block/kind.ts";
import { parseForward, type PortForward } from "../../devices/net/connection.ts";
import { type NetConfig, netKind } from "../../devices/net/kind.ts";
import { type RngConfig, rngKind } from "../../devices/rng/kind.ts";
import { type VsockConfig, vsockKind } from "../../devices/vsock/kind.ts";
import type { ConsoleConfigMode, Discovery } from "../machine/config.ts";
import { FlagError, type Problem } from "../virtio/device_kind.ts";
import type { ParsedWords } from "./parse.ts";
import { parseCpus, parseDuration, parseMemory } from "./quantity.ts";
import { parseRootfs, type RootfsSettings } from "./rootfs.ts";

const DEFAULT_MEMORY_MIB = 128;
const DISCOVERIES: readonly Discovery[] = ["auto", "fdt", "acpi", "cmdline"];

/** What to run in the guest, and how. */
export interface CommandSettings {
  /** Program and arguments; none: what the image of the root is for. */
  readonly words: readonly string[];
  /** It gets what is typed here even without a terminal of its own. */
  readonly interactive: boolean;
  /** Whether it has a terminal of its own; left out: as our own streams are. */
  readonly tty?: boolean;
  /** As written: NAME=VALUE, or NAME. */
  readonly env: readonly string[];
  /** Paths of files with more of them. */
  readonly envFiles: readonly string[];
  readonly workdir?: string;
  /** USER or USER:GROUP, names or ids. */
  readonly user?: string;
}

export interface RunSettings {
  /** Left out: the default guest. */
  readonly kernel?: string;
  /** Left out: the default guest's. */
  readonly rootfs?: RootfsSettings;
  readonly initrd?: string;
  readonly cmdline?: string;
  readonly cmdlineOnly?: string;
  readonly memoryMib: number;
  readonly vcpus: number;
  readonly disks: readonly BlockConfig[];
  readonly nets: readonly NetConfig[];
  /** Left out: none. */
  readonly vsock?: VsockConfig;
  /** Left out: none. */
  readonly rng?: RngConfig;
  readonly console: ConsoleConfigMode;
  readonly discovery: Discovery;
  readonly timeoutMs?: number;
  /** Path of the report. */
  readonly report?: string;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly json: boolean;
  readonly dryRun: boolean;
  /** Left out: the console is attached. */
  readonly command?: CommandSettings;
}

export interface ReadSettings {
  /** Usable even with problems: where one is, the default stands. */
  readonly settings: RunSettings;
  readonly problems: readonly Problem[];
}

/** Reads every value. Never throws. */
export function readRunSettings(words: ParsedWords): ReadSettings {
  const reader = new SettingsReader(words);
  const kernel = reader.text("kernel");
  const rootfs = reader.read("rootfs", "ROOTFS_INVALID", parseRootfs);
  const command = reader.command(kernel);
  const settings: RunSettings = {
    ...optional("kernel", kernel),
    ...optional("rootfs", rootfs),
    ...optional("initrd", reader.text("initrd")),
    ...optional("cmdline", reader.text("cmdline")),
    ...optional("cmdlineOnly", reader.text("cmdline-only")),
    memoryMib: reader.read("mem", "MEM_INVALID", parseMemory) ?? DEFAULT_MEMORY_MIB,
    vcpus: reader.read("cpus", "CPUS_INVALID", parseCpus) ?? 1,
    disks: reader.readAll("disk", "DISK_INVALID", blockKind.parse),
    nets: reader.nets(),
    ...optional("vsock", reader.read("vsock", "VSOCK_INVALID", vsockKind.parse)),
    ...optional("rng", reader.read("rng", "RNG_INVALID", parseRng)),
    console: reader.read("console", "CONSOLE_INVALID", parseConsole) ?? { mode: "auto" },
    discovery: reader.read("discovery", "DISCOVERY_INVALID", parseDiscovery) ?? "auto",
    ...optional("timeoutMs", reader.read("timeout", "TIMEOUT_INVALID", parseDuration)),
    ...optional("report", reader.text("report")),
    quiet: reader.has("quiet"),
    verbose: reader.has("verbose"),
    json: reader.has("json"),
    dryRun: reader.has("dry-run"),
    ...optional("command", command),
  };
  reader.conflict("cmdline", "cmdline-only", "put all words into --cmdline-only");
  reader.conflict("tty", "no-tty", "leave both out: it is a terminal where ours are");
  reader.conflict("quiet", "verbose", "leave one of them out");
  return { settings, problems: reader.problems };
}

/** Takes values out of the parsed words and keeps what is wrong with them. */
class SettingsReader {
  readonly #words: ParsedWords;
  readonly problems: Problem[];

  constructor(words: ParsedWords) {
    this.#words = words;
    this.problems = [...words.problems];
  }

  has(name: string): boolean {
    return this.#words.values.has(name);
  }

  text(name: string): string | undefined {
    return this.#words.values.get(name)?.[0];
  }

  read<T>(name: string, code: string, parse: (text: string) => T): T | undefined {
    return this.readAll(name, code, parse)[0];
  }

  /** What `parse` makes of each value; a FlagError becomes a problem with `code`. */
  readAll<T>(name: string, code: string, parse: (text: string) => T): T[] {
    const results: T[] = [];
    for (const text of this.#words.values.get(name) ?? []) {
      try {
        results.push(parse(text));
      } catch (error) {
        if (!(error instanceof FlagError)) throw error;
        this.#complain(`--${name}`, code, error.message, error.hint);
      }
    }
    return results;
  }

  /** The words after `--`, which a guest with our agent understands. A root may have a command of its own. */
  command(kernel: string | undefined): CommandSettings | undefined {
    const { rest } = this.#words;
    const words = rest ?? [];
    const hasRoot = this.has("rootfs");
    if (rest === undefined && !hasRoot) return this.#complainOfLonelyFlags();
    if (rest?.length === 0) {
      this.#complain(
        "--",
        "CMD_MISSING",
        "No command follows --",
        "write one, as in dinovisor run -- uname -a, or leave -- out to attach the console",
      );
      return undefined;
    }
    const settings: CommandSettings = {
      words,
      interactive: this.has("interactive"),
      ...(this.has("tty") ? { tty: true } : this.has("no-tty") ? { tty: false } : {}),
      env: this.#words.values.get("env") ?? [],
      envFiles: this.#words.values.get("env-file") ?? [],
      ...optional("workdir", this.read("workdir", "WORKDIR_INVALID", parseWorkdir)),
      ...optional("user", this.read("user", "USER_INVALID", parseUser)),
    };
    if (kernel === undefined || hasRoot) return settings;
    this.#complain(
      "--",
      "CMD_NEEDS_DEFAULT_GUEST",
      `Cannot run "${words[0]}" in a guest with a kernel of your own`,
      "commands are run by the agent of the default guest: leave --kernel out",
    );
    return undefined;
  }

  /** -i and -t are not among them: without a command they ask for what the console is. */
  #complainOfLonelyFlags(): undefined {
    for (const name of ["env", "env-file", "workdir", "user"]) {
      if (!this.has(name)) continue;
      const message = `Flag --${name} is for a command, and there is none`;
      this.#complain(`--${name}`, "FLAG_NEEDS_CMD", message, `write one behind the flags: -- CMD`);
    }
  }

  /** The cards; published ports belong to the first one that passt serves. */
  nets(): readonly NetConfig[] {
    const nets = this.readAll("net", "NET_INVALID", parseNet).flat();
    const forwards = this.readAll("publish", "PUBLISH_INVALID", parseForward);
    const index = nets.findIndex(({ backend }) => backend.type === "user");
    if (forwards.length === 0) return nets;
    if (index >= 0) return nets.with(index, publishing(nets[index] as NetConfig, forwards));
    this.#complain(
      "--publish",
      "PUBLISH_NEEDS_USER",
      "Cannot publish ports without --net user",
      "add --net user; on a tap the guest's ports are reached by its own address",
    );
    return nets;
  }

  conflict(one: string, other: string, hint: string): void {
    if (!this.has(one) || !this.has(other)) return;
    const message = `Flags --${one} and --${other} exclude each other`;
    this.#complain(`--${other}`, "FLAG_CONFLICT", message, hint);
  }

  #complain(field: string, code: string, message: string, hint: string | undefined): void {
    this.problems.push({ field, code, message, ...optional("hint", hint) });
  }
}

function parseConsole(text: string): ConsoleConfigMode {
  if (text === "auto" || text === "serial" || text === "virtio" || text === "off") {
    return { mode: text };
  }
  const path = text.startsWith("file=") ? text.slice(5) : "";
  if (path !== "") return { mode: "file", path };
  throw new FlagError(
    `Cannot read --console "${text}": it is not one of serial, virtio, file=PATH, off`,
    "write --console serial",
  );
}

function parseDiscovery(text: string): Discovery {
  const found = DISCOVERIES.find((name) => name === text);
  if (found !== undefined) return found;
  throw new FlagError(
    `Cannot read --discovery "${text}": it is not one of ${DISCOVERIES.join(", ")}`,
    "leave --discovery out: auto looks at the kernel",
  );
}

function parseWorkdir(text: string): string {
  if (text.startsWith("/")) return text;
  throw new FlagError(
    `Cannot use --workdir "${text}": it is no path from the guest's root`,
    `write --workdir /${text}`,
  );
}

function parseUser(text: string): string {
  if (/^[^:]+(?::[^:]+)?$/.test(text)) return text;
  throw new FlagError(
    `Cannot use --user "${text}": it is not USER or USER:GROUP`,
    "names and ids are possible: --user nobody, --user 1000:100",
  );
}

function publishing(net: NetConfig, forwards: readonly PortForward[]): NetConfig {
  return { ...net, backend: { type: "user", forwards } };
}

function parseNet(text: string): NetConfig[] {
  return text === "none" ? [] : [netKind.parse(text)];
}

function parseRng(text: string): RngConfig | undefined {
  return text === "none" ? undefined : rngKind.parse(text);
}

/** `{name: value}`, or nothing to spread when there is no value. */
function optional<K extends string, T>(
  name: K,
  value: T | undefined,
): { readonly [key in K]?: T } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [key in K]?: T };
}
