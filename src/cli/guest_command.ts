/**
 * `dinovisor run -- CMD`: the default guest by the road of the sandbox, and a command that has our streams, our signals
 * and our exit status. Imported when there is a command, since a run without one starts without all this.
 */
import type { ImageConfig } from "../guest/image/config.ts";
import type { MachineConfig } from "../machine/config.ts";
import { EscapeKeys } from "../machine/escape_keys.ts";
import type { Machine } from "../machine/machine.ts";
import type { MachineOptions } from "../machine/machine_options.ts";
import { agentUp, type Started, startMachine } from "../sandbox/boot.ts";
import { GuestCommands, imageDefaults } from "../sandbox/guest_commands.ts";
import { GuestFs } from "../sandbox/guest_fs.ts";
import type { GuestProcess } from "../sandbox/guest_process.ts";
import { type ReadEnvironment, readEnvironment } from "./command_environment.ts";
import { commandOutcome } from "./command_outcome.ts";
import { type CommandStreams, commandStreams, inputFrom, outputTo } from "./command_streams.ts";
import type { Outcome } from "./exit_status.ts";
import { writeError } from "./output.ts";
import type { CommandSettings } from "./run_settings.ts";
import type { StopRequest } from "./stop_request.ts";
import { enterRawMode, ESCAPE_HELP, watchWindow, windowSize } from "./terminal.ts";

export { rootedRun } from "./rooted_run.ts";

/** An agent that has gone may be the first sign of a guest that ends: it gets so long for it. */
const END_MS = 10_000;

/** What the run has for its command. */
export interface CommandRun {
  /** Of `commandEnvironment`. */
  readonly env: Readonly<Record<string, string>>;
  /** What a root of the user's says about its commands. */
  readonly image: ImageConfig | undefined;
  readonly stop: StopRequest;
  /** The guest's console goes to stderr. */
  readonly verbose: boolean;
  /** What the machine is connected to. */
  readonly connections: Omit<MachineOptions, "terminal" | "firstVcpu">;
  /** The machine runs: ends it when it is time to. */
  started(machine: Machine): void;
  pressPowerButton(machine: Machine): void;
}

/** The command's variables, and what is wrong with them. */
export function commandEnvironment(
  command: CommandSettings,
): ReadEnvironment {
  return readEnvironment(command, {
    readTextFile: (path) => Deno.readTextFileSync(path),
    variable: (name) => Deno.env.get(name),
  });
}

/** Boots `config`, runs `command` there with our streams, and has the guest end in order. Rejects with what `startMachine` does. */
export async function runGuestCommand(
  config: MachineConfig,
  command: CommandSettings,
  run: CommandRun,
): Promise<Outcome> {
  const begun = performance.now();
  const started = await startMachine({ config, hasAgent: true, connections: run.connections });
  const { machine, console, exited } = started;
  run.started(machine);
  const shown = run.verbose ? showConsole(console.readable) : Promise.resolve();
  let status: Deno.CommandStatus | undefined;
  let error: unknown;
  let readyMs: number | undefined;
  try {
    await agentUp(started, run.stop.signal);
    readyMs = performance.now() - begun;
    // A machine that is over may leave the command's session as it is.
    status = await Promise.race([statusOf(started, command, run), exited.then(() => undefined)]);
  } catch (cause) {
    error = cause;
  }
  run.stop.passNextTo(undefined);
  if (status === undefined) await giveUp(started, error);
  else await powerOff(started);
  const exit = await exited;
  await shown;
  const consoleTail = run.verbose ? "" : console.tail;
  const outcome = commandOutcome({ exit, cause: run.stop.cause, status, error, consoleTail });
  return readyMs === undefined ? outcome : { ...outcome, readyMs };
}

async function statusOf(
  started: Started,
  command: CommandSettings,
  run: CommandRun,
): Promise<Deno.CommandStatus> {
  const { stop } = run;
  const streams = commandStreams(command, {
    stdinIsTerminal: Deno.stdin.isTerminal(),
    stdoutIsTerminal: Deno.stdout.isTerminal(),
  });
  const keys = streams.raw ? escapeKeys(started.machine, run) : undefined;
  const stdin = inputFrom(keys);
  const stdout = outputTo(Deno.stdout, () => stop.request({ kind: "output-closed" }));
  const stderr = outputTo(Deno.stderr, () => {}); // the command hears of it
  const child = await spawn(started, command, streams, run, { stdin, stdout, stderr });
  stop.passNextTo((signal) => child.kill(signal));
  if (streams.tty) {
    watchWindow((columns, rows) => child.resize({ columns, rows }));
    child.resize(windowSize()); // it may have changed since
  }
  using _raw = streams.raw ? enterRawMode() : undefined;
  return await child.status;
}

async function spawn(
  { agent }: Started,
  command: CommandSettings,
  { tty, input }: CommandStreams,
  { env: given, image }: CommandRun,
  host: Parameters<GuestCommands["spawn"]>[3],
): Promise<GuestProcess> {
  if (agent === undefined) throw new Error("The guest was started without an agent");
  const [program = "", ...args] = command.words;
  const { workdir, user } = command;
  const terminal = tty ? Deno.env.get("TERM") : undefined;
  const env = { ...(terminal === undefined ? {} : { TERM: terminal }), ...given };
  const door = { agent: () => agent, fs: new GuestFs(agent) };
  const defaults = { ...imageDefaults(image), ...(user === undefined ? {} : { user }) };
  return await new GuestCommands(door, defaults).spawn(program, args, {
    env,
    ...(workdir === undefined ? {} : { cwd: workdir }),
    stdin: input ? "inherit" : "null",
    stdout: "inherit",
    stderr: "inherit",
    pty: tty ? windowSize() : false,
  }, host);
}

function escapeKeys(machine: Machine, { stop, pressPowerButton }: CommandRun): EscapeKeys {
  return new EscapeKeys({
    quitRequested: () => stop.request({ kind: "quit" }),
    helpRequested: () => writeError(ESCAPE_HELP),
    powerRequested: () => pressPowerButton(machine),
  });
}

/** What the command has written to disks is there when we leave: the guest ends in order, however long that takes. */
async function powerOff({ machine, agent, exited }: Started): Promise<void> {
  try {
    await agent?.powerOff();
  } catch {
    await orLater(exited);
    await machine.stop();
  }
}

async function giveUp({ machine, exited }: Started, error: unknown): Promise<void> {
  if (error instanceof Error && "code" in error && error.code === "AGENT_GONE") {
    await orLater(exited);
  }
  await machine.stop();
}

/** Waits for the end of the machine, but not for ever. */
async function orLater(exited: Promise<unknown>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, END_MS);
  await Promise.race([exited, promise]);
  clearTimeout(timer);
}

/** Never rejects: nobody may read our stderr. */
async function showConsole(readable: ReadableStream<Uint8Array>): Promise<void> {
  const stderr = outputTo(Deno.stderr, () => {});
  try {
    for await (const chunk of readable) {
      for (let done = 0; done < chunk.length;) done += await stderr.write(chunk.subarray(done));
    }
  } catch {
    // said to nobody
  }
}
