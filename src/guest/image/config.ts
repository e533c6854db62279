/** What an image says about how it is to be run: OCI image specification, config.md. Docker writes the same. */
import { ImageError } from "./errors.ts";

/** How an image is meant to be run. */
export interface ImageConfig {
  /** The first words of every command of its own. */
  readonly entrypoint: readonly string[];
  /** The words behind, unless others are given. */
  readonly cmd: readonly string[];
  /** Variables. */
  readonly env: Readonly<Record<string, string>>;
  /** `/` when it says none. */
  readonly workdir: string;
  /** `NAME`, `UID`, `NAME:GROUP`, …; empty: root. */
  readonly user: string;
}

/** What is known of a root that is no image. */
export const PLAIN_ROOT: ImageConfig = {
  entrypoint: [],
  cmd: [],
  env: {},
  workdir: "/",
  user: "",
};

/** A configuration, as far as it is of use here. */
export interface ReadConfig {
  readonly config: ImageConfig;
  /** Digests of the layers, unpacked, from the lowest to the topmost. */
  readonly diffIds: readonly string[];
  /** As GOARCH has it; empty when it says none. */
  readonly architecture: string;
}

/** Reads a configuration. Throws ImageError ROOTFS_DAMAGED. */
export function readConfig(json: unknown): ReadConfig {
  const whole = recordOf(json, "configuration");
  const { config, rootfs, architecture } = whole;
  const inner = config === undefined || config === null ? {} : recordOf(config, "config");
  return {
    config: {
      entrypoint: wordsOf(inner["Entrypoint"], "Entrypoint"),
      cmd: wordsOf(inner["Cmd"], "Cmd"),
      env: environmentOf(wordsOf(inner["Env"], "Env")),
      workdir: absolute(textOf(inner["WorkingDir"], "WorkingDir")),
      user: textOf(inner["User"], "User"),
    },
    diffIds: wordsOf(recordOf(rootfs, "rootfs")["diff_ids"], "diff_ids"),
    architecture: textOf(architecture, "architecture"),
  };
}

/**
 * The words an image is started with: its entrypoint, and `args`, or its own ones when there are none. As docker does,
 * but for nothing at all: that is an empty list.
 */
export function startWords(
  { entrypoint, cmd }: ImageConfig,
  args: readonly string[] | undefined,
): readonly string[] {
  return [...entrypoint, ...(args ?? cmd)];
}

function environmentOf(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    lines.map((line) => {
      const equals = line.indexOf("=");
      return equals < 0 ? [line, ""] : [line.slice(0, equals), line.slice(equals + 1)];
    }).filter(([name]) => name !== ""),
  );
}

function absolute(path: string): string {
  return path === "" ? "/" : path.startsWith("/") ? path : `/${path}`;
}

/** An object. Throws ImageError. */
export function recordOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw damaged(what, "an object");
}

/** A text; nothing is an empty one. Throws ImageError. */
export function textOf(value: unknown, what: string): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "string" && !value.includes("\0")) return value;
  throw damaged(what, "a text");
}

/** A list of texts; nothing is an empty one. Throws ImageError. */
export function wordsOf(value: unknown, what: string): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw damaged(what, "a list of texts");
  return value.map((word) => {
    if (typeof word !== "string" || word.includes("\0")) throw damaged(what, "a list of texts");
    return word;
  });
}

function damaged(what: string, kind: string): ImageError {
  return new ImageError(`Cannot read the image: its "${what}" is not ${kind}`, "ROOTFS_DAMAGED");
}
