/**
 * Runs the commands of a build: all output goes to a log file, the last lines stay at hand for the error.
 * Called by the builders only.
 */
import { GuestBuildError } from "./errors.ts";

/** Lines kept for the error message. */
const TAIL_LINES = 25;

/** The environment of every build command: nothing of the user's, so the result is the same everywhere. */
export const BUILD_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/nonexistent",
  LC_ALL: "C",
  TZ: "UTC",
};

/** How to run a command; without `environment` it gets the fixed one. */
export interface RunOptions {
  readonly directory?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Pass the user's own environment below `environment`: apt needs its proxy settings. */
  readonly inherit?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called with every line of output. */
  readonly onLine?: (line: string) => void;
  /** Lines that are left out of the log: progress for programs, which would push out what an error needs. */
  readonly unlogged?: RegExp;
}

/** The log of one build. */
export class BuildLog implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #tail: string[] = [];
  readonly #encoder = new TextEncoder();

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Starts a log; the one of the build before is overwritten. */
  static async open(path: string): Promise<BuildLog> {
    return new BuildLog(await Deno.open(path, { create: true, write: true, truncate: true }));
  }

  /** The last lines, for an error. */
  get tail(): string {
    return this.#tail.join("\n");
  }

  /** Adds a line. */
  line(text: string): void {
    this.#file.writeSync(this.#encoder.encode(text + "\n"));
    this.#tail.push(text);
    if (this.#tail.length > TAIL_LINES) this.#tail.shift();
  }

  /**
   * Runs a command to its end with both outputs in the log.
   *
   * @throws {GuestBuildError} when it cannot be started or fails; the signal's reason when that ended it
   */
  async run(command: readonly string[], options: RunOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    this.line(`+ ${command.join(" ")}`);
    await using child = this.#start(command, options);
    const take = (line: string): void => {
      if (!options.unlogged?.test(line)) this.line(line);
      options.onLine?.(line);
    };
    await Promise.all([eachLine(child.stdout, take), eachLine(child.stderr, take)]);
    const status = await child.status;
    options.signal?.throwIfAborted();
    if (status.success) return;
    const how = status.signal === null ? `with status ${status.code}` : `on ${status.signal}`;
    throw this.#failure(`Cannot finish the build: "${command[0]}" ended ${how}`);
  }

  #start([program = "", ...args]: readonly string[], options: RunOptions): Deno.ChildProcess {
    try {
      return new Deno.Command(program, {
        args,
        ...(options.directory === undefined ? {} : { cwd: options.directory }),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        clearEnv: !options.inherit,
        env: { ...(options.inherit ? {} : BUILD_ENVIRONMENT), ...options.environment },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    } catch (cause) {
      throw this.#failure(`Cannot start "${program}"`, cause);
    }
  }

  #failure(message: string, cause?: unknown): GuestBuildError {
    return new GuestBuildError(message, "GUEST_COMMAND", { logTail: this.tail, cause });
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

async function eachLine(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    lines.forEach(take);
  }
  if (rest !== "") take(rest);
}
