/**
 * The command line as its users have it: a process of its own, on pipes or on a terminal. Everything it prints is
 * kept, and shown when a wait fails.
 */
import { buildTinyGuest } from "../guest/build.ts";
import { until, within } from "./kvm.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const LIMIT_MS = 30_000;

export interface CliOptions {
  /** All of stdin; `open` keeps it open for `write`. Nothing: at its end from the start. */
  readonly stdin?: string | Uint8Array | "open";
  readonly env?: Readonly<Record<string, string>>;
  /** Run this module instead of `main.ts`. */
  readonly module?: string;
  /** Words before the command itself: another user, a new mount namespace. */
  readonly prefix?: readonly string[];
  /** Do not read stdout until `readStdout` is called. */
  readonly stalled?: boolean;
  readonly limitMs?: number;
}

/** How a process ended and what it said. */
export interface CliResult {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stdoutBytes: Uint8Array<ArrayBuffer>;
  readonly stderr: string;
}

/** The command that runs the monitor with `args`. */
export function commandLine(args: readonly string[], module = MAIN): string[] {
  return [Deno.execPath(), "run", "-A", "--no-prompt", module, ...args];
}

/** Runs `dinovisor ARGS` to its end. */
export async function runCli(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  await using cli = CliProcess.spawn(args, options);
  return await cli.ended;
}

/** Runs the tiny guest with `words` on its command line. */
export async function runTinyCli(
  words: string,
  args: readonly string[] = [],
  options: CliOptions = {},
): Promise<CliResult> {
  return await runCli(await tinyArgs(words, args), options);
}

/** What to give `dinovisor` for the tiny guest with `words`. */
export async function tinyArgs(words: string, args: readonly string[] = []): Promise<string[]> {
  return ["run", "-k", await buildTinyGuest(), "-m", "64", "--cmdline", words, ...args];
}

/** Bytes as they arrive. */
class Output {
  readonly #chunks: Uint8Array[] = [];
  #length = 0;
  #decoded = "";
  readonly #decoder = new TextDecoder();

  async collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const chunk of stream) {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.#decoded += this.#decoder.decode(chunk, { stream: true });
    }
  }

  get text(): string {
    return this.#decoded;
  }

  get length(): number {
    return this.#length;
  }

  bytes(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }
}

/** One running process. Dispose it: what still runs is killed. */
export class CliProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #stdout = new Output();
  readonly #stderr = new Output();
  readonly #reading: Promise<void>[] = [];
  readonly #limitMs: number;
  #stalled: boolean;
  #over = false;

  private constructor(command: readonly string[], options: CliOptions) {
    const [program = "", ...args] = [...(options.prefix ?? []), ...command];
    this.#child = new Deno.Command(program, {
      args,
      env: { DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1", ...options.env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#limitMs = options.limitMs ?? LIMIT_MS;
    this.#stalled = options.stalled ?? false;
    this.#stdin = this.#child.stdin.getWriter();
    this.#reading.push(this.#stderr.collect(this.#child.stderr));
    if (!this.#stalled) this.#reading.push(this.#stdout.collect(this.#child.stdout));
  }

  static spawn(args: readonly string[], options: CliOptions = {}): CliProcess {
    const cli = new CliProcess(commandLine(args, options.module), options);
    const { stdin } = options;
    if (stdin !== "open") cli.#feed(stdin === undefined ? new Uint8Array() : bytesOf(stdin));
    return cli;
  }

  /**
   * `script` from bsdutils gives `shellCommand` a terminal; what is written here is typed there, and stdout and
   * stderr come out of it together.
   */
  static onTerminal(shellCommand: string, options: CliOptions = {}): CliProcess {
    const command = ["script", "-q", "-e", "-f", "-c", shellCommand, "/dev/null"];
    return new CliProcess(command, { ...options, env: { SHELL: "/bin/sh", ...options.env } });
  }

  #feed(bytes: Uint8Array): void {
    // A process that ends without reading its input breaks the pipe: its business, not ours.
    const written = bytes.length === 0 ? Promise.resolve() : this.#stdin.write(bytes);
    written.then(() => this.#stdin.close()).catch(() => {});
  }

  get pid(): number {
    return this.#child.pid;
  }

  get stdout(): string {
    return this.#stdout.text;
  }

  get stdoutLength(): number {
    return this.#stdout.length;
  }

  get stderr(): string {
    return this.#stderr.text;
  }

  async write(text: string | Uint8Array): Promise<void> {
    await this.#stdin.write(bytesOf(text));
  }

  async closeStdin(): Promise<void> {
    await this.#stdin.close();
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Begins to read stdout, which was stalled until now. */
  readStdout(): void {
    if (!this.#stalled) return;
    this.#stalled = false;
    this.#reading.push(this.#stdout.collect(this.#child.stdout));
  }

  /** Waits for `text` on stdout, in what comes from byte `from` on. */
  async waitFor(text: string, { from = 0, ms = 20_000 } = {}): Promise<void> {
    const seen = () => this.#stdout.text.includes(text, from);
    await this.#orDump(until(`stdout shows ${JSON.stringify(text)}`, () => {
      if (!seen() && this.#over) throw new Error(`Process ended without ${JSON.stringify(text)}`);
      return seen();
    }, ms));
  }

  /** Its end, with all it said. Kills it and fails when it takes too long. */
  get ended(): Promise<CliResult> {
    return this.#orDump(within(this.#limitMs, "process", this.#end()));
  }

  async #end(): Promise<CliResult> {
    const { code, signal } = await this.#child.status;
    if (!this.#stalled) await Promise.all(this.#reading);
    this.#over = true;
    return {
      code,
      signal,
      stdout: this.#stdout.text,
      stdoutBytes: this.#stdout.bytes(),
      stderr: this.#stderr.text,
    };
  }

  async #orDump<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      this.#killIfRunning();
      const said = `stdout: ${tail(this.stdout)}\nstderr: ${tail(this.stderr)}`;
      throw new Error(`${error instanceof Error ? error.message : error}\n${said}`);
    }
  }

  #killIfRunning(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // it has ended
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#over) this.#killIfRunning();
    await this.#child.status;
    await this.#stdin.close().catch(() => {});
    if (this.#stalled) await this.#child.stdout.cancel();
    await Promise.all(this.#reading);
  }
}

function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === "string" ? new TextEncoder().encode(text) : text;
}

function tail(text: string): string {
  return text.length <= 2000 ? text : `…${text.slice(-2000)}`;
}

/** `words` for /bin/sh. */
export function shellWords(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
}
