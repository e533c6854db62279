/** TCP ports of the guest, by way of its agent: the guest needs no network for that. */
import type { VsockConnection } from "../machine/mod.ts";
import type { Agent } from "./agent.ts";
import { AgentError, VmError } from "./errors.ts";
import { fetchFrom } from "./http_request.ts";
import { FRAME, frame, FrameReader, word, words } from "./protocol.ts";

const ECONNREFUSED = 111;
/** http */
const DEFAULT_PORT = 80;

/** What a request needs to reach one port: a socket file that leads there. */
interface Road {
  readonly path: string;
  readonly listener: Deno.UnixListener;
  readonly directory: string;
}

/** Those of one guest. */
export class GuestPorts {
  readonly #agent: Pick<Agent, "open">;
  readonly #roads = new Map<number, Promise<Road>>();

  constructor(agent: Pick<Agent, "open">) {
    this.#agent = agent;
  }

  /** Calls a program in the guest that listens on 127.0.0.1. Rejects with VmError PORT_REFUSED, AgentError, the signal's reason. */
  async connect(port: number, signal?: AbortSignal): Promise<VsockConnection> {
    if (!Number.isInteger(port) || port < 1 || port > 65535) {
      throw new VmError(`Cannot use port ${port}: 1 to 65535 are possible`, "PORT_INVALID");
    }
    signal?.throwIfAborted();
    const connection = await this.#agent.open();
    const abort = (): void => connection.close();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      signal?.throwIfAborted();
      const writer = connection.writable.getWriter();
      await writer.write(frame(FRAME.dial, words(port)));
      writer.releaseLock();
      const reader = new FrameReader(connection.readable);
      const answer = await reader.next();
      if (answer?.type === FRAME.done) return portConnection(connection, reader.rest());
      if (answer?.type !== FRAME.error) {
        throw new AgentError("Lost the guest's agent while it called a port", "AGENT_GONE");
      }
      const errno = word(answer, 0);
      throw errno === ECONNREFUSED
        ? new VmError(`Nobody listens on port ${port} in the guest`, "PORT_REFUSED", {
          hint: "wait for it: await vm.waitFor({ port: " + port + " })",
        })
        : new VmError(`Cannot call port ${port} in the guest: errno ${errno}`, "PORT_FAILED");
    } catch (error) {
      connection.close();
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Like the global `fetch`, to a server in the guest; redirects are the caller's to follow. The host in the URL is only a
   * name for it.
   */
  async fetch(url: string | URL, init: RequestInit = {}): Promise<Response> {
    const { protocol, port, href } = new URL(url);
    if (protocol !== "http:") {
      throw new VmError(`Cannot fetch ${href}: only http: is possible`, "URL_PROTOCOL");
    }
    const { path } = await this.#road(port === "" ? DEFAULT_PORT : Number(port));
    return await fetchFrom(path, new Request(url, init));
  }

  #road(port: number): Promise<Road> {
    const known = this.#roads.get(port);
    if (known !== undefined) return known;
    const road = this.#build(port);
    this.#roads.set(port, road);
    road.catch(() => this.#roads.delete(port));
    return road;
  }

  /** Only this user may call it: the directory is private. */
  async #build(port: number): Promise<Road> {
    const directory = await Deno.makeTempDir({ prefix: "dinovisor-port-" });
    const path = `${directory}/socket`;
    const listener = Deno.listen({ transport: "unix", path });
    this.#serve(listener, port);
    return { path, listener, directory };
  }

  /** Ends with the listener. Calls that nobody takes in the guest are closed: `fetch` says so. */
  async #serve(listener: Deno.UnixListener, port: number): Promise<void> {
    try {
      for await (const call of listener) this.#relay(call, port);
    } catch {
      // closed under the wait for a call
    }
  }

  async #relay(call: Deno.UnixConn, port: number): Promise<void> {
    try {
      await using guest = await this.connect(port);
      await Promise.all([
        call.readable.pipeTo(guest.writable),
        guest.readable.pipeTo(call.writable),
      ]);
    } catch {
      closeQuietly(call);
    }
  }

  /** The machine is over: nothing of it is left on this side. */
  async close(): Promise<void> {
    const roads = await Promise.allSettled(this.#roads.values());
    this.#roads.clear();
    for (const road of roads) {
      if (road.status === "rejected") continue;
      road.value.listener.close();
      await Deno.remove(road.value.directory, { recursive: true });
    }
  }
}

/** The agent's connection, once it is the program's. */
function portConnection(
  connection: VsockConnection,
  readable: ReadableStream<Uint8Array<ArrayBuffer>>,
): VsockConnection {
  return {
    readable,
    writable: connection.writable,
    close: () => connection.close(),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

function closeQuietly(call: Deno.UnixConn): void {
  try {
    call.close();
  } catch {
    // closed before, by the end of one of its streams
  }
}
