/** How a command in the guest is run. */

/** How a command is run. */
export interface GuestCommandOptions {
  /** Where; when left out where the image of the root says, else the home directory of root. */
  readonly cwd?: string;
  /** More variables, beside those of the image and of the machine's options. */
  readonly env?: Readonly<Record<string, string>>;
  /** No variables but `env`. */
  readonly clearEnv?: boolean;
  /**
   * Who: `"NAME"`, an id, or `"NAME:GROUP"`, by the guest's /etc/passwd and /etc/group, with the groups that user is in, and
   * with HOME, USER and LOGNAME. When left out as the image of the root says, else root. Not together with `uid` and `gid`.
   */
  readonly user?: string | number;
  /** User id, whoever that is; root when left out. */
  readonly uid?: number;
  /** Group id; root's when left out. */
  readonly gid?: number;
  /**
   * `null`, the default: nothing to read. `inherit`: this process's own input, which is read from then on, a little ahead of
   * the command, too.
   */
  readonly stdin?: "piped" | "null" | "inherit";
  /** `piped` is the default. `inherit`: this process's own output. */
  readonly stdout?: "piped" | "null" | "inherit";
  /** `piped` is the default. `inherit`: this process's own errors. */
  readonly stderr?: "piped" | "null" | "inherit";
  /** A terminal of its own, 80 by 24 if `true`. All output is in `stdout` then. */
  readonly pty?: boolean | { readonly columns: number; readonly rows: number };
  /** Asks the command to end (SIGTERM), and makes it (SIGKILL) 5 seconds later. Its status tells; nothing rejects. */
  readonly signal?: AbortSignal;
}
