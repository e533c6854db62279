/**
 * Debian packages that a build needs: looked up with dpkg-query, installed with apt-get where we may.
 * Called by the builders only; nothing on the start path asks the package database.
 */
import type { BuildLog } from "./build_log.ts";
import { BUILD_ENVIRONMENT } from "./build_log.ts";
import { GuestBuildError } from "./errors.ts";

/** What all missing packages have in common: how the user is told, and how apt is run. */
export interface PackageOptions {
  readonly log: BuildLog;
  /** What cannot be done without them, for the error; undefined: build the default guest. */
  readonly purpose?: string;
  /** Called once before anything is installed. */
  readonly announce: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes sure that Debian packages are installed. Root installs what is missing, without recommended packages and
 * without questions; anyone else gets an error whose hint is the command to run.
 *
 * @throws {GuestBuildError} when a package is missing and cannot be installed
 */
export async function ensureDebianPackages(
  packages: readonly string[],
  options: PackageOptions,
): Promise<void> {
  const missing = await missingPackages(packages);
  if (missing.length === 0) return;
  const install = `apt-get install --no-install-recommends ${missing.join(" ")}`;
  const purpose = options.purpose ?? "build the default guest";
  const message = `Cannot ${purpose}: missing Debian packages "${missing.join(" ")}"`;
  if (Deno.uid() !== 0) {
    throw new GuestBuildError(message, "GUEST_PACKAGES", { hint: `sudo ${install}` });
  }
  options.announce(missing.join(" "));
  try {
    await aptGet(["update"], options);
  } catch {
    options.signal?.throwIfAborted(); // an old package list may still do
  }
  try {
    await aptGet(["install", "-y", "--no-install-recommends", ...missing], options);
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw new GuestBuildError(message, "GUEST_PACKAGES", {
      hint: install,
      logTail: options.log.tail,
      cause,
    });
  }
}

/**
 * The installed version of a package, or undefined.
 *
 * @throws {GuestBuildError} when this is not a Debian system
 */
export async function installedVersion(name: string): Promise<string | undefined> {
  return (await installedVersions([name])).get(name);
}

async function missingPackages(packages: readonly string[]): Promise<string[]> {
  const installed = await installedVersions(packages);
  return packages.filter((name) => !installed.has(name));
}

async function installedVersions(packages: readonly string[]): Promise<Map<string, string>> {
  const format = "${db:Status-Status} ${Package} ${Version}\n";
  const query = new Deno.Command("dpkg-query", {
    args: ["-W", `-f=${format}`, ...packages],
    clearEnv: true,
    env: { ...BUILD_ENVIRONMENT },
    stdin: "null",
    stderr: "null", // names it does not know; they are simply not in the answer
  });
  const versions = new Map<string, string>();
  for (const line of new TextDecoder().decode((await output(query)).stdout).split("\n")) {
    const [state, name, version] = line.split(" ");
    if (state === "installed" && name && version) versions.set(name, version);
  }
  return versions;
}

async function output(query: Deno.Command): Promise<Deno.CommandOutput> {
  try {
    return await query.output();
  } catch (cause) {
    throw new GuestBuildError(
      "Cannot build the default guest: this is not a Debian system",
      "GUEST_HOST",
      {
        hint: "pass a kernel of your own with --kernel PATH",
        cause,
      },
    );
  }
}

function aptGet(args: readonly string[], { log, signal }: PackageOptions): Promise<void> {
  // Another apt may hold the lock for a while: a fresh machine updates itself.
  const command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", ...args];
  return log.run(command, {
    inherit: true,
    environment: { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
    signal,
  });
}
