/** The agent in the guest, seen from here: its greeting, and a session for each command or file. */
import type { Machine, VsockConnection, VsockListener } from "../machine/mod.ts";
import { AgentError, VmError } from "./errors.ts";
import { GuestProcess, type OutputTarget } from "./guest_process.ts";
import type { ByteSource } from "./host_streams.ts";
import { OUTPUT_WINDOW } from "./output_queue.ts";
import {
  AGENT_PORT,
  execFrame,
  type ExecRequest,
  fits,
  FRAME,
  type Frame,
  frame,
  FrameReader,
  PROTOCOL_VERSION,
  SPAWN_STAGES,
  word,
} from "./protocol.ts";

/** A try takes up to two seconds by itself; a guest that starts a hundred commands on a slow host needs a minute. */
const MAX_TRIES = 40;
/** Calls that wait for the guest's answer at the same time: more would only make each of them late. */
const MAX_CALLS = 8;
const AGAIN_MS = 100;
const ENOENT = 2;
const E2BIG = 7;
const EACCES = 13;
const ENOTDIR = 20;
const DIRECTORY_ERRORS: Readonly<Record<number, string>> = {
  [ENOENT]: "there is no such directory",
  [EACCES]: "its user may not",
  [ENOTDIR]: "it is no directory",
};

/** A command, and what its streams are connected to. */
export interface SpawnRequest
  extends Omit<ExecRequest, "credit" | "input" | "output" | "errors" | "exitLast"> {
  readonly input: "piped" | "null" | ByteSource;
  readonly output: OutputTarget;
  /** Nothing of them comes with a terminal. */
  readonly errors: OutputTarget;
}

/** What it needs of a machine. */
export type AgentMachine = Pick<Machine, "connect" | "listen" | "status">;

/** One of a machine. */
export class Agent {
  readonly #machine: AgentMachine;
  readonly #greetings: VsockListener;
  #inputRoom = 0;
  #calls = 0;
  readonly #callers: (() => void)[] = [];

  /** Before the machine starts, or the agent's first call would be refused. */
  constructor(machine: AgentMachine) {
    this.#machine = machine;
    this.#greetings = machine.listen({ vsock: AGENT_PORT });
  }

  /** Resolves when the agent is up. Rejects with AgentError, or MachineError CLOSED when the machine ends first. */
  async ready(): Promise<void> {
    const connection = await this.#greetings.accept();
    this.#greetings.close();
    const hello = await new FrameReader(connection.readable).next();
    if (hello?.type !== FRAME.hello || word(hello, 0) !== PROTOCOL_VERSION) {
      connection.close();
      throw new AgentError("The guest's agent speaks another protocol", "AGENT_VERSION", {
        hint: "its root image is of another version of dinovisor",
      });
    }
    // The connection stays open: the agent would not mind its end, but the machine closes it anyway.
    this.#inputRoom = word(hello, 1);
  }

  /** A session. A guest that is short of time, or has too many calls waiting, is called again. Rejects with AgentError. */
  async open(): Promise<VsockConnection> {
    if (this.#calls === MAX_CALLS) {
      await new Promise<void>((resolve) => this.#callers.push(resolve));
    } else this.#calls++;
    try {
      return await this.#call();
    } finally {
      const next = this.#callers.shift(); // takes this one's place
      if (next === undefined) this.#calls--;
      else next();
    }
  }

  async #call(): Promise<VsockConnection> {
    for (let tries = 1;; tries++) {
      try {
        return await this.#machine.connect({ vsock: AGENT_PORT });
      } catch (cause) {
        if (tries < MAX_TRIES && this.#machine.status === "running") {
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
          continue;
        }
        throw new AgentError("Cannot reach the guest's agent", "AGENT_GONE", {
          cause,
          hint: "the machine has ended, is paused, or its agent was killed: see its console",
        });
      }
    }
  }

  /** Starts a command. Rejects with VmError when that cannot be done, and AgentError. */
  async spawn(
    request: SpawnRequest,
    signal: AbortSignal | undefined,
  ): Promise<GuestProcess> {
    const what = request.words.join(" ");
    const hasTerminal = request.terminal !== undefined;
    const { input, output, errors } = request;
    const bytes = execFrame({
      ...request,
      input: input !== "null",
      output: output !== "null",
      errors: errors !== "null",
      exitLast: typeof output === "object" || typeof errors === "object",
      credit: OUTPUT_WINDOW,
    });
    if (!fits(bytes)) {
      throw new VmError(
        `Cannot start "${
          what.slice(0, 40)
        }…": its words and environment take ${bytes.length} bytes`,
        "COMMAND_TOO_LONG",
        { hint: "64 KiB are possible: write the data to a file, or to its stdin" },
      );
    }
    const connection = await this.open();
    try {
      const reader = new FrameReader(connection.readable);
      const writer = connection.writable.getWriter();
      await writer.write(bytes);
      writer.releaseLock();
      const answer = await reader.next();
      if (answer?.type !== FRAME.started) throw spawnError(request, answer);
      return new GuestProcess({
        what,
        connection,
        reader,
        pid: word(answer, 0),
        inputRoom: this.#inputRoom,
        input: hasTerminal && input === "null" ? "piped" : input,
        outputs: hasTerminal ? [output === "null" ? "piped" : output, "null"] : [output, errors],
        signal,
      });
    } catch (error) {
      connection.close();
      throw error instanceof VmError
        ? error
        : new AgentError(`Lost the guest's agent while it started "${what}"`, "AGENT_GONE", {
          cause: error,
        });
    }
  }

  /** Has the guest end everything in order and switch itself off. Resolves when it has been told. */
  async powerOff(): Promise<void> {
    await using connection = await this.open();
    const writer = connection.writable.getWriter();
    await writer.write(frame(FRAME.powerOff));
    await new FrameReader(connection.readable).next();
  }

  /** It is waited for no more. */
  close(): void {
    this.#greetings.close();
  }
}

function spawnError({ words, directory }: SpawnRequest, answer?: Frame): VmError {
  const [program = ""] = words;
  if (answer?.type !== FRAME.failed) {
    return new AgentError(`Lost the guest's agent while it started "${program}"`, "AGENT_GONE");
  }
  const number = word(answer, 1);
  switch (SPAWN_STAGES[word(answer, 0)]) {
    case "program":
      if (number === ENOENT) {
        return new VmError(`Cannot find "${program}" in the guest`, "COMMAND_NOT_FOUND");
      }
      if (number === EACCES) {
        return new VmError(`Cannot execute "${program}": it is no program`, "COMMAND_NOT_PROGRAM", {
          hint: "make it executable: chmod +x",
        });
      }
      return new VmError(`Cannot execute "${program}": errno ${number}`, "COMMAND_FAILED_TO_START");
    case "directory":
      return new VmError(
        `Cannot enter "${directory}" in the guest: ${
          DIRECTORY_ERRORS[number] ?? `errno ${number}`
        }`,
        "CWD_INVALID",
      );
    case "user":
      return new VmError(`Cannot become the user asked for: errno ${number}`, "USER_INVALID");
    default:
      return new VmError(
        number === E2BIG
          ? `Cannot start "${program}": it has more than 4096 words`
          : `Cannot start "${program}": errno ${number}`,
        "COMMAND_FAILED_TO_START",
      );
  }
}
