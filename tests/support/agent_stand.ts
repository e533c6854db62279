/** The agent's C on this host with everything that speaks to it, and sessions frame by frame. */
import { Agent } from "../../src/sandbox/agent.ts";
import { GuestFs } from "../../src/sandbox/guest_fs.ts";
import { GuestPorts } from "../../src/sandbox/guest_ports.ts";
import type { GuestProcess } from "../../src/sandbox/guest_process.ts";
import {
  execFrame,
  type ExecRequest,
  FRAME,
  type Frame,
  frame,
  FrameReader,
  words,
} from "../../src/sandbox/protocol.ts";
import type { VsockConnection } from "../../src/machine/mod.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { AgentSessions, sessionRefusal } from "./agent_session.ts";
import { within } from "./kvm.ts";

/** What the agent has room for of a command's input (src/guest/agent/command.h). */
export const INPUT_WINDOW = 65_536;
const LIMIT_MS = 60_000;

/** A command with nothing special about it. */
export function commandOf(
  args: readonly string[],
  more: Partial<ExecRequest> = {},
): Omit<ExecRequest, "credit"> {
  return {
    words: args,
    environment: [],
    clearEnvironment: false,
    directory: "",
    user: undefined,
    group: undefined,
    groups: [],
    input: false,
    output: true,
    errors: true,
    exitLast: false,
    terminal: undefined,
    ...more,
  };
}

/** One session, frame by frame. */
export class RawSession implements Disposable {
  readonly #connection: VsockConnection;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: FrameReader;

  constructor(connection: VsockConnection) {
    this.#connection = connection;
    this.#writer = connection.writable.getWriter();
    this.#reader = new FrameReader(connection.readable);
  }

  /** Bytes as they are; whether they could be sent. */
  async send(...all: readonly Uint8Array[]): Promise<boolean> {
    try {
      for (const bytes of all) await this.#writer.write(bytes);
      return true;
    } catch {
      return false;
    }
  }

  /** The next frame; undefined at the end. */
  next(): Promise<Frame | undefined> {
    return within(LIMIT_MS, "a frame", this.#reader.next());
  }

  /** The next frame, which has to be of this type. */
  async expect(type: number): Promise<Frame> {
    const found = await this.next();
    assertEquals(found?.type, type);
    assert(found !== undefined);
    return found;
  }

  /** Everything that comes before the connection ends. */
  async rest(): Promise<Frame[]> {
    const frames: Frame[] = [];
    for (let next = await this.next(); next !== undefined; next = await this.next()) {
      frames.push(next);
    }
    return frames;
  }

  /** Starts a command; its process id. */
  async start(request: Omit<ExecRequest, "credit">, credit = 0): Promise<number> {
    await this.send(execFrame({ ...request, credit }));
    const { bytes } = await this.expect(FRAME.started);
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  }

  /** Room for `bytes` more of output 0 or errors 1. */
  async credit(which: number, bytes: number): Promise<void> {
    await this.send(frame(FRAME.credit, words(which, bytes)));
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

export class AgentStand implements AsyncDisposable {
  readonly sessions = new AgentSessions();
  readonly fs = new GuestFs(this.sessions);
  readonly ports = new GuestPorts(this.sessions);
  readonly #agent: Agent;

  private constructor(agent: (sessions: AgentSessions) => Agent) {
    this.#agent = agent(this.sessions);
  }

  static async make(): Promise<AgentStand> {
    const greeting: VsockConnection = {
      readable: ReadableStream.from([frame(FRAME.hello, words(1, INPUT_WINDOW))]),
      writable: new WritableStream(),
      close: () => {},
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const stand = new AgentStand((sessions) =>
      new Agent({
        status: "running",
        connect: () => sessions.open(),
        listen: () => ({
          port: 1024,
          accept: () => Promise.resolve(greeting),
          close: () => {},
          async *[Symbol.asyncIterator]() {},
          [Symbol.asyncDispose]: () => Promise.resolve(),
        }),
      })
    );
    await stand.#agent.ready();
    return stand;
  }

  /** Starts a command. */
  spawn(args: readonly string[], more: Partial<ExecRequest> = {}): Promise<GuestProcess> {
    const { input, output, errors, ...request } = commandOf(args, more);
    const piped = (wanted: boolean) => wanted ? "piped" : "null";
    return this.#agent.spawn(
      { ...request, input: piped(input), output: piped(output), errors: piped(errors) },
      undefined,
    );
  }

  /** Runs a line of shell; what it prints, how it ends. */
  async sh(line: string, more: Partial<ExecRequest> = {}): Promise<{ text: string; code: number }> {
    await using child = await this.spawn(["sh", "-c", line], more);
    const { text, code } = await child.output();
    return { text, code };
  }

  /** A session, frame by frame. */
  async raw(): Promise<RawSession> {
    return new RawSession(await this.sessions.open());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ports.close();
    await this.sessions[Symbol.asyncDispose]();
  }
}

const ignored = sessionRefusal();
if (ignored !== undefined) console.log(`ignored: ${ignored}`);

/** A test with the agent and a directory of its own. */
export function agentTest(
  name: string,
  work: (stand: AgentStand, directory: string) => Promise<void>,
): void {
  Deno.test({
    name: `agent: ${name}`,
    ignore: ignored !== undefined,
    fn: async () => {
      const directory = Deno.makeTempDirSync({ prefix: "dinovisor-agent-files-" });
      try {
        await using stand = await AgentStand.make();
        await within(LIMIT_MS, name, work(stand, directory));
      } finally {
        Deno.removeSync(directory, { recursive: true });
      }
    },
  });
}
