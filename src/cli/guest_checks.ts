/** What `dinovisor doctor` says of the default guest: which one this host gets, and whether it is there. */
import { type CachedGuest, cachedGuest } from "../guest/default_guest.ts";
import { problemsOf } from "./errors.ts";
import { type GuestChoice, type GuestKind, hostGuestChoice } from "../guest/guest_choice.ts";
import type { Finding } from "./host_checks.ts";

type Tool = readonly [program: string, debianPackage: string];

const ROOT_IMAGE_TOOLS: readonly Tool[] = [
  ["gcc", "gcc"],
  ["mke2fs", "e2fsprogs"],
  ["debugfs", "e2fsprogs"],
];
/** Programs that make each kind of guest, and the Debian packages that have them. */
const TOOLS: Readonly<Record<GuestKind, readonly Tool[]>> = {
  stock: [["apt-get", "apt"], ["dpkg-deb", "dpkg"], ...ROOT_IMAGE_TOOLS],
  built: [
    ["make", "make"],
    ["flex", "flex"],
    ["bison", "bison"],
    ["bc", "bc"],
    ["xz", "xz-utils"],
    ...ROOT_IMAGE_TOOLS,
  ],
};
const TOOL_FOLDERS = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"];

const SUBJECT = "default guest";

/** The default guest: there, or whether it can be made. */
export async function guestFindings(): Promise<Finding[]> {
  try {
    const choice = hostGuestChoice();
    const guest = await cachedGuest(choice.kind);
    if (guest !== undefined) return [guestFinding(choice, guest)];
    const missing = TOOLS[choice.kind].filter(([program]) => !isInstalled(program));
    return [guestFinding(choice, undefined), toolFinding(missing)];
  } catch (error) {
    const [problem] = problemsOf(error);
    const hint = problem?.hint === undefined ? {} : { hint: problem.hint };
    return [{ state: "warn", subject: SUBJECT, detail: problem?.message ?? "unknown", ...hint }];
  }
}

/** Which guest this host gets and why, and whether the cache has it. */
export function guestFinding(
  { kind, reason }: GuestChoice,
  guest: Pick<CachedGuest, "name" | "kernel"> | undefined,
): Finding {
  if (guest !== undefined) {
    return { state: "ok", subject: SUBJECT, detail: `${guest.name}, ${reason}: ${guest.kernel}` };
  }
  const [name, state, verb] = kind === "stock"
    ? ["Debian's cloud kernel", "not downloaded yet", "download"]
    : ["our own build", "not built yet, which takes some minutes", "build"];
  return {
    state: "warn",
    subject: SUBJECT,
    detail: `${name}, ${reason}; ${state}: the first run without --kernel does it`,
    hint: `${verb} it now: dinovisor kernel build`,
  };
}

/** `missing` are rows of programs and their packages. */
export function toolFinding(missing: readonly Tool[]): Finding {
  const subject = "build tools";
  if (missing.length === 0) return { state: "ok", subject, detail: "present" };
  const programs = missing.map(([program]) => program).join(", ");
  const packages = [...new Set(missing.map(([, name]) => name))].join(" ");
  return {
    state: "warn",
    subject,
    detail: `missing: ${programs}; the default guest cannot be made without`,
    hint: `on Debian and Ubuntu: sudo apt-get install ${packages}`,
  };
}

function isInstalled(program: string): boolean {
  return TOOL_FOLDERS.some((folder) => isThere(`${folder}/${program}`));
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
