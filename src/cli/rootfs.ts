/** `--rootfs`: which root, as it is written, and what of an image becomes the command. Pure. */
import type { ImageConfig } from "../guest/image/config.ts";
import { startWords } from "../guest/image/config.ts";
import type { RootSource } from "../guest/image/source.ts";
import { bytesIn } from "../machine/size.ts";
import { FlagError, type Problem } from "../virtio/device_kind.ts";
import type { CommandSettings } from "./run_settings.ts";

/** How the flag's value is written. */
export const ROOTFS_SYNTAX = "[dir:|tar:|oci:|image:]PATH[,ref=NAME][,size=SIZE][,overlay]";

/** A root file system. */
export interface RootfsSettings {
  readonly source: RootSource;
  /** Of the image that is made; undefined: what suits the contents. */
  readonly bytes: number | undefined;
  /** A disk image stays as it is. */
  readonly overlay: boolean;
}

/** Reads the flag's value. Throws FlagError. */
export function parseRootfs(text: string): RootfsSettings {
  const [place = "", ...words] = text.split(",");
  const [, kind = "auto", path = ""] = /^(?:(dir|tar|oci|image):)?(.*)$/s.exec(place) ?? [];
  if (path === "") {
    throw new FlagError(`Cannot read --rootfs "${text}": it names no file`, "write --rootfs PATH");
  }
  let ref: string | undefined;
  let bytes: number | undefined;
  let overlay = false;
  for (const word of words) {
    if (/^ref=./s.test(word)) ref = word.slice("ref=".length);
    else if (/^size=/.test(word)) bytes = sizeOf(text, word.slice("size=".length));
    else if (word === "overlay") overlay = true;
    else {
      throw new FlagError(
        `Cannot read --rootfs "${text}": "${word}" is not one of ref=NAME, size=SIZE, overlay`,
        "a comma cannot be part of the path: rename the file, or use a link",
      );
    }
  }
  if (ref !== undefined && kind !== "auto" && kind !== "oci") {
    throw new FlagError(
      `Cannot read --rootfs "${text}": ref chooses among OCI images`,
      "leave ref out",
    );
  }
  const source = { kind, path, ...(ref === undefined ? {} : { ref }) } as RootSource;
  return { source, bytes, overlay };
}

function sizeOf(text: string, size: string): number {
  const bytes = bytesIn(size);
  if (bytes !== undefined && Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new FlagError(`Cannot read --rootfs "${text}": "${size}" is no size`, "write size=4G");
}

/**
 * The command of a run in a root: behind its image's entrypoint, or all that is the image's when there are no words.
 * Undefined: the root says nothing, so a shell comes to the console.
 */
export function rootedCommand(
  command: CommandSettings,
  image: ImageConfig,
): CommandSettings | undefined {
  const words = startWords(image, command.words.length === 0 ? undefined : command.words);
  return words.length === 0 ? undefined : { ...command, words };
}

/** What is wrong with a command for a root where nobody takes commands. */
export function agentProblems({ words }: CommandSettings): readonly Problem[] {
  if (words.length === 0) return [];
  return [{
    field: "--",
    code: "CMD_NEEDS_AGENT",
    message: `Cannot run "${words[0]}" in a disk image of your own`,
    hint: "its own init is started: leave the command out; other roots get our agent",
  }];
}
