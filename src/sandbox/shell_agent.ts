/**
 * The shell's agent in the guest (src/guest/agent/agent.sh), seen from here: its lines on a port of a virtio console.
 * To everybody else it looks as the other agent does: it greets, and is called for sessions of frames (protocol.ts).
 */
import type { MachineStatus, VsockConnection, VsockListener } from "../machine/mod.ts";
import type { AgentMachine } from "./agent.ts";
import { AgentError } from "./errors.ts";
import { AGENT_PORT, FRAME, frame, PROTOCOL_VERSION, words } from "./protocol.ts";
import { type ShellLine, ShellSession } from "./shell_session.ts";
import type { ConsoleSocket } from "./vm_console.ts";

/** What it says first. */
const SHELL_VERSION = "1";
/** A piece of 4096 bytes is 5464 characters; whoever sends more in a line means us harm. */
const MAX_LINE = 16 * 1024;
/** Bytes of input of one command that may be on their way: their lines fit into a pipe of the guest's. */
const INPUT_WINDOW = 24 * 1024;

/** One of a machine. */
export class ShellAgent implements AgentMachine {
  readonly #conn: ConsoleSocket;
  readonly #statusOf: () => MachineStatus;
  readonly #ready = Promise.withResolvers<void>();
  readonly #sessions = new Map<number, ShellSession>();
  #begun = 0;
  #sent: Promise<unknown> = Promise.resolve();

  /** `conn` is the host's end of the port; it is read until its end, which is the end of the machine. */
  constructor(conn: ConsoleSocket, statusOf: () => MachineStatus) {
    this.#conn = conn;
    this.#statusOf = statusOf;
    this.#ready.promise.catch(() => {}); // it may be that nobody waits
    this.#read();
  }

  /** Of its machine. */
  get status(): MachineStatus {
    return this.#statusOf();
  }

  /** Its greeting, as a call. */
  listen(): VsockListener {
    const accept = async (): Promise<VsockConnection> => {
      await this.#ready.promise;
      return greeting();
    };
    return {
      port: AGENT_PORT,
      accept,
      close: () => {},
      async *[Symbol.asyncIterator]() {
        yield await accept();
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  /** A session. Rejects with AgentError when the agent has gone. */
  async connect(): Promise<VsockConnection> {
    await this.#ready.promise;
    const job = ++this.#begun;
    const session = new ShellSession((...line) => this.#send(`${job} ${line.join(" ")}\n`));
    this.#sessions.set(job, session);
    session.ended.then(() => this.#sessions.delete(job));
    return session.connection;
  }

  /** Lines go out one after the other. Resolves when it is on its way, or the machine is over. */
  #send(line: string): Promise<unknown> {
    const bytes = new TextEncoder().encode(line);
    const write = async (): Promise<void> => {
      for (let done = 0; done < bytes.length;) done += await this.#conn.write(bytes.subarray(done));
    };
    return this.#sent = this.#sent.then(write).catch(() => {});
  }

  async #read(): Promise<void> {
    let problem = new AgentError("The guest's shell agent has gone", "AGENT_GONE");
    try {
      await this.#takeLines();
    } catch (error) {
      if (error instanceof AgentError) problem = error;
      // else closed under the read: the end of the machine
    }
    this.#ready.reject(problem);
    for (const session of this.#sessions.values()) session.lost(problem);
    closeQuietly(this.#conn);
  }

  async #takeLines(): Promise<void> {
    const decoder = new TextDecoder();
    const buffer = new Uint8Array(32 * 1024);
    let rest = "";
    for (;;) {
      const count = await this.#conn.read(buffer);
      if (count === null) return;
      const lines = (rest + decoder.decode(buffer.subarray(0, count), { stream: true })).split(
        "\n",
      );
      rest = lines.pop() ?? "";
      if (rest.length > MAX_LINE) throw odd(rest);
      for (const line of lines) this.#take(line.replace(/\r$/, "").split(" "));
    }
  }

  #take([job = "", word = "", ...more]: readonly string[]): void {
    if (job === "-") {
      if (word === "ready" && more[0] === SHELL_VERSION) return this.#ready.resolve();
      if (word !== "lacks") throw odd(`- ${word} ${more.join(" ")}`);
      const names = more.slice(0, 20).join(", ").slice(0, 200);
      throw new AgentError(`The guest's shell agent does without: ${names}`, "AGENT_LACKS", {
        hint: "put them into the initrd: every busybox has them",
      });
    }
    // What an old job still says is of no interest; a number that never was is nobody's.
    this.#sessions.get(Number(job))?.take({ word, value: more[0] ?? "" } satisfies ShellLine);
  }
}

function greeting(): VsockConnection {
  return {
    readable: ReadableStream.from([frame(FRAME.hello, words(PROTOCOL_VERSION, INPUT_WINDOW))]),
    writable: new WritableStream(),
    close: () => {},
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function odd(line: string): AgentError {
  const text = JSON.stringify(line.slice(0, 60));
  return new AgentError(`The guest's shell agent does not make sense: ${text}`, "AGENT_VERSION");
}

function closeQuietly(conn: ConsoleSocket): void {
  try {
    conn.close();
  } catch {
    // closed before
  }
}
