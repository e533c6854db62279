/**
 * Debian's archive without root and without the system's package state: an apt with lists, cache and sources of its
 * own. It verifies every list's signature with Debian's keyring and every package against its list.
 * Called by the download of stock kernels, and by tests that take fixtures from Debian.
 */
import type { BuildLog } from "./build_log.ts";
import { GuestBuildError } from "./errors.ts";

/** The suites that stock kernels are taken from, oldest first. */
export const DEBIAN_SUITES = ["bookworm", "trixie", "sid"] as const;
export type DebianSuite = (typeof DEBIAN_SUITES)[number];

/** A package as its list describes it. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  /** Names it depends on, alternatives included, without versions. */
  readonly depends: readonly string[];
  /** Bytes to download. */
  readonly size: number;
}

/** Where apt works, and what hears of it. */
export interface ArchiveOptions {
  /** A fresh directory. Removing it removes all that apt knew. */
  readonly directory: string;
  readonly log: BuildLog;
  /** Called with the part of the present download that is done, 0 to 1. */
  readonly onFraction?: (done: number) => void;
  readonly signal?: AbortSignal | undefined;
}

const MIRROR = "http://deb.debian.org";
/** Package debian-archive-keyring. The one in Debian 12.11 and later verifies all suites above. */
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const KEYRING_PACKAGE = "debian-archive-keyring";
const OWN_KERNEL_HINT = "or pass a kernel of your own with --kernel PATH";

/** What apt says of a download on its status file descriptor. */
const STATUS_LINE = /^dlstatus:\d+:([\d.]+):/;

/** One suite of Debian's archive, for amd64. */
export class DebianArchive {
  readonly #suite: DebianSuite;
  readonly #options: ArchiveOptions;

  private constructor(suite: DebianSuite, options: ArchiveOptions) {
    this.#suite = suite;
    this.#options = options;
  }

  /**
   * Fetches the suite's package lists, about 10 MB.
   *
   * @throws {GuestBuildError} when there is no apt, no network, or no key that verifies the lists
   */
  static async open(suite: DebianSuite, options: ArchiveOptions): Promise<DebianArchive> {
    await requireKeyring();
    const { directory } = options;
    for (const name of ["parts", "lists/partial", "archives/partial"]) {
      await Deno.mkdir(`${directory}/${name}`, { recursive: true });
    }
    await Deno.writeTextFile(`${directory}/status`, "");
    await Deno.writeTextFile(`${directory}/sources.list`, sourceLines(suite));
    await Deno.writeTextFile(`${directory}/apt.conf`, aptConfiguration(directory));
    const archive = new DebianArchive(suite, options);
    await archive.#run(["apt-get", "-q", "update"]);
    return archive;
  }

  /**
   * What the lists say of these packages in their newest versions.
   *
   * @throws {GuestBuildError} when one is missing
   */
  async look(names: readonly string[]): Promise<DebianPackage[]> {
    const lines: string[] = [];
    const command = ["apt-cache", "show", "--no-all-versions", ...names];
    await this.#run(command, (line) => lines.push(line));
    const packages = parsePackages(lines.join("\n"));
    const missing = names.filter((name) => !packages.some((found) => found.name === name));
    if (missing.length === 0) return packages;
    throw new GuestBuildError(
      `Cannot find the package "${missing.join(" ")}" in Debian ${this.#suite}`,
      "GUEST_PACKAGES",
      { hint: OWN_KERNEL_HINT, logTail: this.#options.log.tail },
    );
  }

  /**
   * The package and those it depends on, and so on, as far as their names match: a meta package leads to a kernel's
   * package, and that one, in newer suites, to one for the image and one for the modules.
   */
  async closure(name: string, match: RegExp): Promise<DebianPackage[]> {
    const found = new Map<string, DebianPackage>();
    let next = [name];
    while (next.length > 0) {
      for (const each of await this.look(next)) found.set(each.name, each);
      const depends = [...found.values()].flatMap((each) => each.depends);
      next = [...new Set(depends)].filter((each) => match.test(each) && !found.has(each));
    }
    return [...found.values()];
  }

  /** Downloads packages and unpacks them into `folder`, over each other, without running their scripts. */
  async unpack(packages: readonly DebianPackage[], folder: string): Promise<void> {
    const { directory } = this.#options;
    await this.#run([
      "apt-get",
      "-q",
      "download",
      ...packages.map(({ name, version }) => `${name}=${version}`),
    ]);
    await Deno.mkdir(folder);
    for await (const { name } of Deno.readDir(directory)) {
      if (!name.endsWith(".deb")) continue;
      await this.#run(["dpkg-deb", "-x", `${directory}/${name}`, folder]);
      await Deno.remove(`${directory}/${name}`);
    }
  }

  /** Runs apt with its own configuration on top of the host's, whose proxy it keeps. */
  async #run(command: readonly string[], onLine?: (line: string) => void): Promise<void> {
    const { directory, log, signal, onFraction } = this.#options;
    const [program = "", ...words] = command;
    const configured = program.startsWith("apt-") ? ["-c", `${directory}/apt.conf`] : [];
    const watch = (line: string): void => {
      const done = downloadFraction(line);
      if (done !== undefined) onFraction?.(done);
      onLine?.(line);
    };
    try {
      await log.run([program, ...configured, ...words], {
        directory,
        inherit: true,
        environment: { LC_ALL: "C" },
        signal,
        onLine: watch,
        unlogged: STATUS_LINE,
      });
    } catch (cause) {
      signal?.throwIfAborted();
      throw archiveFailure(this.#suite, program, log.tail, cause);
    }
  }
}

/** The suite's lists, as lines of sources.list(5). Only packages: no translations, no icons. */
export function sourceLines(suite: DebianSuite): string {
  const options = `[arch=amd64 lang=none target=Packages signed-by=${KEYRING}]`;
  const lines = [`deb ${options} ${MIRROR}/debian ${suite} main`];
  if (suite !== "sid") { // released suites get their fixes from two more places
    lines.push(`deb ${options} ${MIRROR}/debian ${suite}-updates main`);
    lines.push(`deb ${options} ${MIRROR}/debian-security ${suite}-security main`);
  }
  return lines.join("\n") + "\n";
}

/**
 * What makes apt work in `directory` alone (apt.conf(5)). It is read after the host's own settings, of which it
 * leaves all that say how to reach the network.
 */
export function aptConfiguration(directory: string): string {
  const settings: readonly (readonly [name: string, value: string])[] = [
    ["Dir::State", directory],
    ["Dir::State::lists", `${directory}/lists`],
    ["Dir::State::status", `${directory}/status`],
    ["Dir::Cache", directory],
    ["Dir::Cache::archives", `${directory}/archives`],
    ["Dir::Etc::sourcelist", `${directory}/sources.list`],
    ["Dir::Etc::sourceparts", `${directory}/parts`],
    ["Dir::Etc::preferences", `${directory}/preferences`],
    ["Dir::Etc::preferencesparts", `${directory}/parts`],
    ["APT::Architecture", "amd64"],
    // Root's apt would download as user _apt, who cannot enter a cache in root's home.
    ["APT::Sandbox::User", "root"],
    ["APT::Status-Fd", "1"],
    ["APT::Update::Error-Mode", "any"], // or a list that cannot be fetched is a warning
    ["Acquire::AllowInsecureRepositories", "false"],
    ["APT::Get::AllowUnauthenticated", "false"],
  ];
  // Programs that the host runs after each update would find nothing new.
  const hooks = ["Pre-Invoke", "Post-Invoke", "Post-Invoke-Success"];
  return [
    ...hooks.map((name) => `#clear APT::Update::${name};`),
    "#clear APT::Architectures;",
    ...settings.map(([name, value]) => `${name} "${value}";`),
  ].join("\n") + "\n";
}

/** Packages from the output of `apt-cache show`: fields in stanzas, an empty line between them. */
export function parsePackages(text: string): DebianPackage[] {
  return text.split(/\n{2,}/).flatMap((stanza) => {
    const name = field(stanza, "Package");
    const version = field(stanza, "Version");
    if (name === undefined || version === undefined) return [];
    const depends = dependencyNames(field(stanza, "Depends") ?? "");
    return [{ name, version, depends, size: Number(field(stanza, "Size") ?? 0) }];
  });
}

/** The part that is done, from a line of apt's status file descriptor: `dlstatus:1:20.5:Retrieving file 1 of 1`. */
export function downloadFraction(line: string): number | undefined {
  const percent = STATUS_LINE.exec(line)?.[1];
  return percent === undefined ? undefined : Number(percent) / 100;
}

function field(stanza: string, name: string): string | undefined {
  return new RegExp(`^${name}: (.*)$`, "m").exec(stanza)?.[1];
}

/** `a (= 1), b | c:any` → a, b, c (Debian policy 7.1). */
function dependencyNames(depends: string): string[] {
  return depends.split(/[,|]/).flatMap((word) =>
    /^\s*([a-z0-9][a-z0-9+.-]+)/.exec(word)?.[1] ?? []
  );
}

async function requireKeyring(): Promise<void> {
  try {
    await Deno.stat(KEYRING);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new GuestBuildError(
      `Cannot verify packages of Debian: there is no keyring "${KEYRING}"`,
      "GUEST_HOST",
      {
        hint: `on Debian and Ubuntu: sudo apt-get install ${KEYRING_PACKAGE}; ${OWN_KERNEL_HINT}`,
        cause,
      },
    );
  }
}

function archiveFailure(
  suite: DebianSuite,
  program: string,
  logTail: string,
  cause: unknown,
): GuestBuildError {
  const details = { logTail, cause };
  if (cause instanceof GuestBuildError && cause.cause instanceof Deno.errors.NotFound) {
    const message = `Cannot download packages of Debian: there is no "${program}" on this system`;
    const hint = "use a Debian or Ubuntu host, " + OWN_KERNEL_HINT;
    return new GuestBuildError(message, "GUEST_HOST", { ...details, hint });
  }
  if (/NO_PUBKEY|EXPKEYSIG|BADSIG|is not signed/.test(logTail)) {
    const message = `Cannot verify the package lists of Debian ${suite} with "${KEYRING}"`;
    const hint =
      `bring its keys up to date: sudo apt-get install ${KEYRING_PACKAGE}; ${OWN_KERNEL_HINT}`;
    return new GuestBuildError(message, "GUEST_PACKAGES", { ...details, hint });
  }
  const message = `Cannot download packages of Debian ${suite} from ${MIRROR}`;
  const hint =
    "check the network, and the proxy in the variable http_proxy or in /etc/apt/apt.conf.d; " +
    OWN_KERNEL_HINT;
  return new GuestBuildError(message, "GUEST_PACKAGES", { ...details, hint });
}
