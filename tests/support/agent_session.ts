/**
 * The agent of the guest on the host itself: one session of the very C that runs there, over a Unix socket. For what needs
 * no machine to be seen, and no seconds to boot one.
 */
import type { VsockConnection } from "../../src/machine/mod.ts";
import { FREESTANDING_FLAGS } from "../../src/guest/freestanding.ts";

const AGENT = new URL("../../src/guest/agent/", import.meta.url).pathname;
const SHARED = new URL("../../src/guest/rootfs/", import.meta.url).pathname;
const PROGRAM = new URL("../agent/session.c", import.meta.url).pathname;

/** Why the agent cannot run here; undefined when it can. */
export function sessionRefusal(): string | undefined {
  if (Deno.build.arch !== "x86_64") return "the agent's system calls are those of x86-64";
  try {
    new Deno.Command("gcc", { args: ["--version"], stdout: "null", stderr: "null" }).outputSync();
    return undefined;
  } catch {
    return "gcc is not installed";
  }
}

/** Compiles the agent once, then opens sessions with it as a machine's `connect` would. */
export class AgentSessions implements AsyncDisposable {
  readonly #directory = Deno.makeTempDirSync({ prefix: "dinovisor-agent-" });
  readonly #children: Deno.ChildProcess[] = [];
  #made = 0;

  constructor() {
    const { success, stderr } = new Deno.Command("gcc", {
      args: [...FREESTANDING_FLAGS, `-I${AGENT}`, `-I${SHARED}`, "-o", this.#program, PROGRAM],
    }).outputSync();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  }

  get #program(): string {
    return `${this.#directory}/session`;
  }

  /** A session. */
  async open(): Promise<VsockConnection> {
    const path = `${this.#directory}/${++this.#made}`;
    using listener = Deno.listen({ transport: "unix", path });
    const child = new Deno.Command(this.#program, {
      args: [path],
      env: { PATH: "/usr/bin:/bin", HOME: "/root" },
      clearEnv: true,
      stdin: "null",
    }).spawn();
    this.#children.push(child);
    const connection = await listener.accept();
    const close = (): void => {
      try {
        connection.close();
      } catch {
        // at its end it has closed by itself
      }
    };
    return {
      readable: connection.readable,
      writable: connection.writable,
      close,
      [Symbol.asyncDispose]: () => Promise.resolve(close()),
    };
  }

  /** How the sessions ended, in the order they were opened; those that have not after `ms` are killed. */
  async ends(ms = 10_000): Promise<readonly Deno.CommandStatus[]> {
    const timer = setTimeout(() => this.#children.forEach((child) => kill(child)), ms);
    const ends = await Promise.all(this.#children.map(({ status }) => status));
    clearTimeout(timer);
    return ends;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ends(0);
    Deno.removeSync(this.#directory, { recursive: true });
  }
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // it has ended
  }
}
