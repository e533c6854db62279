/** The variables of `-e` and `--env-file`, in docker's notation: `NAME=VALUE`, or `NAME` for the one that we have. */
import type { Problem } from "../virtio/device_kind.ts";

/** What is asked of this host; both as Deno has them. */
export interface EnvironmentHost {
  readTextFile(path: string): string;
  variable(name: string): string | undefined;
}

/** What has been read, and what is wrong with it. */
export interface ReadEnvironment {
  readonly env: Readonly<Record<string, string>>;
  readonly problems: readonly Problem[];
}

/** Reads the files first, so that a flag beats them, in the order given. Never throws. */
export function readEnvironment(
  { env, envFiles }: { readonly env: readonly string[]; readonly envFiles: readonly string[] },
  host: EnvironmentHost,
): ReadEnvironment {
  const problems: Problem[] = [];
  const found = new Map<string, string>();
  for (const path of envFiles) {
    for (const { line, number } of linesOf(path, host, problems)) {
      if (!take(line, host, found)) {
        problems.push({
          field: "--env-file",
          code: "ENV_INVALID",
          message: `Cannot read line ${number} of "${path}": "${line}" has no name`,
          hint: "write NAME=VALUE, or NAME for the value it has here; # begins a comment",
        });
      }
    }
  }
  for (const text of env) {
    if (take(text, host, found)) continue;
    problems.push({
      field: "--env",
      code: "ENV_INVALID",
      message: `Cannot set variable "${text}": it has no name`,
      hint: "write -e NAME=VALUE, or -e NAME for the value it has here",
    });
  }
  return { env: Object.fromEntries(found), problems };
}

/** Whether `text` is a variable. One that this host does not have stays away, as with docker. */
function take(text: string, host: EnvironmentHost, into: Map<string, string>): boolean {
  const equals = text.indexOf("=");
  const name = equals === -1 ? text : text.slice(0, equals);
  if (name === "" || text.includes("\0")) return false;
  const value = equals === -1 ? host.variable(name) : text.slice(equals + 1);
  if (value !== undefined) into.set(name, value);
  return true;
}

function* linesOf(
  path: string,
  host: EnvironmentHost,
  problems: Problem[],
): Generator<{ readonly line: string; readonly number: number }> {
  let text: string;
  try {
    text = host.readTextFile(path);
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : error instanceof Error
      ? error.message
      : String(error);
    problems.push({
      field: "--env-file",
      code: "ENV_FILE",
      message: `Cannot read --env-file "${path}": ${reason}`,
      hint: "name a file with a NAME=VALUE on each line",
    });
    return;
  }
  for (const [index, whole] of text.split("\n").entries()) {
    const line = whole.replace(/\r$/, "").trimStart();
    if (line !== "" && !line.startsWith("#")) yield { line, number: index + 1 };
  }
}
