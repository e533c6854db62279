/** The agent for guests that are not ours: an archive behind a user's initrd, and the word that starts it. */
import { shellWord } from "../shell_words.ts";
import { appendArchive, CpioArchive } from "./cpio.ts";
import { readNamed } from "./errors.ts";

/** Where everything of ours is in the initramfs; the agent has the same names (src/guest/agent/carrier.h). */
const FOLDER = "dinovisor";
/** include/linux/major.h, and its devices in Documentation/admin-guide/devices.txt. */
const MEM_MAJOR = 1;
const NULL_MINOR = 3;
/** What the kernel starts from an initramfs when nobody says otherwise. */
const DEFAULT_INIT = "/init";

/** What is carried into a guest. */
export interface AgentRequest {
  /** Path of the user's initrd. */
  readonly initrd: string;
  /** The words that the kernel is given. */
  readonly cmdline: string;
  /** Path of the agent, if it is carried: `compileAgent`'s result. */
  readonly program?: string;
  /** The shell's agent, if it is carried: a script. */
  readonly script?: string;
}

/** An initrd with an agent in it. */
export interface AgentInitrd {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** For the end of the kernel's command line: the last word of a kind counts. */
  readonly word: string;
}

/**
 * Puts an agent behind an initrd. The first program is then ours, and goes on as the one it would have been.
 *
 * @throws {InitramfsError} when a file cannot be read
 */
export async function initrdWithAgent(request: AgentRequest): Promise<AgentInitrd> {
  const { program, script } = request;
  const next = firstProgram(request.cmdline);
  const archive = new CpioArchive();
  const encoder = new TextEncoder();
  archive.directory("dev");
  // Commands are given it, and not every /init mounts a devtmpfs.
  archive.characterDevice("dev/null", MEM_MAJOR, NULL_MINOR, 0o666);
  archive.directory(FOLDER);
  if (program !== undefined) {
    archive.file(`${FOLDER}/agent`, await readNamed("program", program), 0o755);
  }
  archive.file(`${FOLDER}/next`, encoder.encode(`${next}\n`));
  if (script !== undefined) archive.file(`${FOLDER}/agent.sh`, encoder.encode(script), 0o755);
  if (program === undefined) {
    archive.file(`${FOLDER}/start.sh`, encoder.encode(starter(next)), 0o755);
  }
  return {
    bytes: appendArchive(await readNamed("initrd", request.initrd), archive.finish()),
    word: `rdinit=/${FOLDER}/${program === undefined ? "start.sh" : "agent"}`,
  };
}

/** What the agent's carrier does, where there is nothing but a shell. */
function starter(next: string): string {
  return `#!/bin/sh
/bin/sh /${FOLDER}/agent.sh </dev/null >/dev/null 2>&1 &
exec ${shellWord(next)} "$@"
`;
}

/** The last rdinit= of a command line. A quoted one cannot be: the kernel takes the quotes for a part of the name. */
export function firstProgram(cmdline: string): string {
  const words = cmdline.split(/\s+/).filter((word) => word.startsWith("rdinit="));
  return words.at(-1)?.slice("rdinit=".length) || DEFAULT_INIT;
}
