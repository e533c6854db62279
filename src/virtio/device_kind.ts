/**
 * A kind of device as configuration sees it: how its flag is written, what can be wrong with it, what it takes of the
 * host. One value per device folder (`kind.ts`), collected by `devices/mod.ts`; how one is made is in `device_maker.ts`.
 */

/** Something the user has to change, found before anything is opened. */
export interface Problem {
  /** What it is about, as the user wrote it: `--disk`, `memoryMib`. */
  readonly field: string;
  /** Stable, for scripts: `DISK_NOT_FOUND`. */
  readonly code: string;
  /** Sentence case, action first, values quoted, no full stop. */
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string;
}

/** Thrown by flag parsers. */
export class FlagError extends Error {
  override readonly name = "FlagError";
  constructor(message: string, readonly hint?: string) {
    super(message);
  }
}

/** A host resource a device will use; two devices may share it only when neither wants it alone. */
export interface Claim {
  /** Names the resource itself, not a path to it: `file:2049:1234`. */
  readonly resource: string;
  /** For people. */
  readonly description: string;
  readonly alone: boolean;
  /** How a conflict is reported; as one of disks when left out. */
  readonly field?: string;
  readonly code?: string;
  readonly hint?: string;
}

/** Where the bytes of a console port go. */
export type ChannelConfig =
  /** The user's terminal, or whatever stdin and stdout are. */
  | { readonly type: "terminal" }
  /** Open descriptors of this process; they stay the caller's. -1: that direction is not there. */
  | { readonly type: "fds"; readonly input: number; readonly output: number }
  /** Output appended to a file, no input. */
  | { readonly type: "file"; readonly path: string }
  | { readonly type: "null" };

/** One kind of device; `C` is its configuration: plain data. */
export interface DeviceKind<C extends { readonly kind: string }> {
  readonly kind: C["kind"];
  /** What `--help` shows of the flag's value: `PATH[,ro][,id=ID]…`. */
  readonly syntax: string;
  /** Reads a flag's value. Throws FlagError. */
  parse(flag: string): C;
  /** Reports everything that would keep `config` from working. Opens nothing for writing, changes nothing. */
  check(config: C, report: (problem: Problem) => void): void;
  /** What its devices count (`Counters`), at most 8; nothing when left out. */
  readonly counters?: readonly string[];
  claims(config: C): readonly Claim[];
}
