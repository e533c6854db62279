/** The streams of this process, as the command in the guest has them. */
import type { EscapeKeys } from "../machine/escape_keys.ts";
import type { CommandSettings } from "./run_settings.ts";

/** What our own streams are. */
export interface StreamKinds {
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
}

/** How the command's are connected. */
export interface CommandStreams {
  /** It has a terminal of its own. */
  readonly tty: boolean;
  /** It gets our input; it has none else. */
  readonly input: boolean;
  /** Our terminal hands it every key. */
  readonly raw: boolean;
}

/**
 * A terminal where a person sits at both ends of ours, unless the flags say otherwise. What is piped in, or comes from a
 * file, is the command's; what is typed only with a terminal or with --interactive: in `dinovisor run -- ls | less` the
 * keys are for less.
 */
export function commandStreams(
  { tty, interactive }: Pick<CommandSettings, "tty" | "interactive">,
  { stdinIsTerminal, stdoutIsTerminal }: StreamKinds,
): CommandStreams {
  const hasTty = tty ?? (stdinIsTerminal && stdoutIsTerminal);
  return {
    tty: hasTty,
    input: hasTty || interactive || !stdinIsTerminal,
    raw: hasTty && stdinIsTerminal,
  };
}

/** Somebody else has made a stream that we share non-blocking: look again after a while. */
const AGAIN_MS = 10;

type Stream = { readonly write: typeof Deno.stdout.write };

/** Deno's `stream`, which tells `failed` when nobody reads it any more. */
export function outputTo(stream: Stream, failed: () => void): Stream {
  return {
    write: async (bytes) => {
      try {
        return await patiently(() => stream.write(bytes));
      } catch (error) {
        failed();
        throw error;
      }
    },
  };
}

/** Our stdin; with `keys`, what is typed there without the keys that are for us. */
export function inputFrom(keys: EscapeKeys | undefined): { readonly read: typeof Deno.stdin.read } {
  return {
    read: async (into) => {
      for (;;) {
        const count = await patiently(() => Deno.stdin.read(into));
        if (count === null || keys === undefined) return count;
        let kept = 0;
        for (const byte of into.subarray(0, count)) {
          if (keys.passes(byte)) into[kept++] = byte;
        }
        if (kept > 0) return kept;
      }
    },
  };
}

async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}
