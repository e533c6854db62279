/**
 * One boot of the lab: QEMU as a child, its console and the work's two streams on unix sockets, the clock beside
 * it. Called by `scripts/lab.ts`.
 */
import { MarkReader } from "./end_mark.ts";
import { type LabMachine, qemuArguments } from "./qemu.ts";

/** Ten times what a boot takes on two busy cores. */
const BOOT_LIMIT_MS = 120_000;
const CLOCK_MS = 1_000;
/** Between the end of QEMU and the last byte in its sockets. */
const DRAIN_MS = 2_000;
/** Lines of the console that are shown with a failure. */
const TAIL_LINES = 40;

/** What is booted, watched, and told. */
export interface LabRun {
  readonly machine: Omit<LabMachine, "sockets">;
  /** Ours alone, for the sockets; short, because a socket's path has at most 107 bytes (unix(7)). */
  readonly directory: string;
  readonly token: string;
  /** The whole run may take this long; undefined: any time. */
  readonly limitMs: number | undefined;
  /** So long may nothing be heard from the work; undefined: any time. */
  readonly quietMs: number | undefined;
  readonly signal: AbortSignal;
  /** Called once, when the work begins. */
  readonly begun: () => void;
}

/** The lab came to no end of its own: QEMU died, the kernel panicked, or time ran out. */
export class LabFailure extends Error {
  override readonly name = "LabFailure";
  /** The last lines of the lab's console. */
  readonly console: string;

  constructor(message: string, console: string) {
    super(message);
    this.console = console;
  }
}

/**
 * Boots the lab and copies the work's stdout and stderr to ours. Returns the exit status of the work.
 *
 * @throws {LabFailure} when the lab does not get as far as that; the signal's reason when it fires
 */
export async function runLab(run: LabRun): Promise<number> {
  const tail = new ConsoleTail(run.machine.verbose);
  const work = new WorkStreams(run);
  using sockets = new Sockets(run.directory);
  const paths = {
    console: sockets.serve("console", (stream) => tail.copy(stream)),
    output: sockets.serve("output", (stream) => work.output(stream)),
    errors: sockets.serve("errors", (stream) => work.errors(stream)),
  };
  await using qemu = startQemu({ ...run.machine, sockets: paths });
  const said = tail.copy(qemu.stderr);
  const fail = (what: string): LabFailure => new LabFailure(what, tail.text);
  return await Promise.race([
    work.status,
    qemu.status.then(async ({ code, signal }) => {
      await Promise.all([said, pause(DRAIN_MS)]);
      const how = signal === null ? `with status ${code}` : `on ${signal}`;
      throw fail(`QEMU ended ${how} before the work did: a panic, or see the console`);
    }),
    outOfTime(run, work).then((what) => {
      throw fail(what);
    }),
    aborted(run.signal),
  ]);
}

function startQemu(machine: LabMachine): Deno.ChildProcess {
  const stdio = machine.terminal ? "inherit" : "null";
  return new Deno.Command("qemu-system-x86_64", {
    args: qemuArguments(machine),
    stdin: stdio,
    stdout: stdio,
    stderr: "piped",
  }).spawn();
}

/** Comes to an end when the lab takes too long, and says which limit it was. */
async function outOfTime(run: LabRun, work: WorkStreams): Promise<string> {
  const start = performance.now();
  while (!work.ended) {
    await pause(CLOCK_MS);
    const now = performance.now();
    if (!work.hasBegun && now - start > BOOT_LIMIT_MS) {
      return `The lab has not booted after ${BOOT_LIMIT_MS / 1000} s`;
    }
    if (run.limitMs !== undefined && now - start > run.limitMs) {
      return `The work has not ended after ${run.limitMs / 1000} s, the time limit`;
    }
    if (run.quietMs !== undefined && work.hasBegun && now - work.lastHeard > run.quietMs) {
      return `The work has said nothing for ${run.quietMs / 1000} s`;
    }
  }
  return await new Promise<never>(() => {});
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** stdout and stderr of the work, on their way to ours. */
class WorkStreams {
  readonly #run: LabRun;
  readonly #reader: MarkReader;
  readonly #outputEnd = Promise.withResolvers<number>();
  readonly #errorsEnd = Promise.withResolvers<number>();
  /** The work's exit status, once every byte of both streams is written. */
  readonly status: Promise<number>;
  hasBegun = false;
  ended = false;
  /** By the clock of performance.now(). */
  lastHeard = 0;

  constructor(run: LabRun) {
    this.#run = run;
    this.#reader = new MarkReader(run.token);
    this.status = Promise.all([this.#outputEnd.promise, this.#errorsEnd.promise])
      .then(([status]) => {
        this.ended = true;
        return status;
      });
  }

  output(stream: ReadableStream<Uint8Array>): Promise<void> {
    return this.#copy(stream, this.#reader, Deno.stdout, this.#outputEnd.resolve);
  }

  errors(stream: ReadableStream<Uint8Array>): Promise<void> {
    return this.#copy(
      stream,
      new MarkReader(this.#run.token),
      Deno.stderr,
      this.#errorsEnd.resolve,
    );
  }

  async #copy(
    stream: ReadableStream<Uint8Array>,
    reader: MarkReader,
    to: { write(bytes: Uint8Array): Promise<number> },
    end: (status: number) => void,
  ): Promise<void> {
    for await (const piece of stream) {
      this.lastHeard = performance.now();
      const { output, begun, status } = reader.push(piece);
      if (begun && !this.hasBegun) {
        this.hasBegun = true;
        this.#run.begun();
      }
      for (let done = 0; done < output.length;) done += await to.write(output.subarray(done));
      if (status !== undefined) return end(status);
    }
  }
}

/** The console of the lab's kernel, and what QEMU itself has to say: kept for a failure, or shown as it comes. */
class ConsoleTail {
  readonly #verbose: boolean;
  readonly #lines: string[] = [];

  constructor(verbose: boolean) {
    this.#verbose = verbose;
  }

  async copy(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const piece of stream) {
      const lines = (rest + decoder.decode(piece, { stream: true })).split(/\r*\n/);
      rest = lines.pop() ?? "";
      lines.forEach((line) => this.#take(line));
    }
    if (rest !== "") this.#take(rest);
  }

  get text(): string {
    return this.#lines.join("\n");
  }

  #take(line: string): void {
    if (this.#verbose) console.error(line);
    this.#lines.push(line);
    if (this.#lines.length > TAIL_LINES) this.#lines.shift();
  }
}

/** Unix sockets that QEMU connects to, each once: nothing it says before we listen can be lost. */
class Sockets implements Disposable {
  readonly #directory: string;
  readonly #open: Disposable[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Listens, and hands over what arrives. Returns the path. */
  serve(name: string, take: (stream: ReadableStream<Uint8Array>) => Promise<void>): string {
    const path = `${this.#directory}/${name}`;
    const listener = Deno.listen({ transport: "unix", path });
    this.#open.push(listener);
    const copied = listener.accept().then(async (connection) => {
      this.#open.push(connection);
      await take(connection.readable);
    });
    copied.catch(() => {}); // closed under its reader: the run is over
    return path;
  }

  [Symbol.dispose](): void {
    for (const each of this.#open) {
      try {
        each[Symbol.dispose]();
      } catch {
        // the stream had closed it
      }
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    Deno.unrefTimer(setTimeout(resolve, ms));
  });
}
