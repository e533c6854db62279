/** The host's end of HTTP transfers, inside a network namespace: a server, and a client that fetches once. */
import { assert } from "../../src/std/assert.ts";
import { within } from "./kvm.ts";
import type { NetNamespace } from "./net_namespace.ts";

const PEER = new URL("./http_peer.ts", import.meta.url).pathname;
const DENO = ["run", "-A", "--no-check", PEER];
/** For one transfer, far above what it takes: one that stands still must fail here, with its name. */
const FETCH_MS = 120_000;
const decoder = new TextDecoder();

/** A server of the host with as many bytes as it was told, and their hash. */
export class HostServer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  private constructor(child: Deno.ChildProcess, readonly said: string) {
    this.#child = child;
  }

  /** Serves `bytes` bytes at every path of `address`:`port`. */
  static async start(
    network: NetNamespace,
    address: string,
    port: number,
    bytes: number,
  ): Promise<HostServer> {
    const words = ["serve", address, String(port), String(bytes)];
    const child = network.spawn(Deno.execPath(), ...DENO, ...words);
    const reader = child.stdout.getReader();
    let said = "";
    while (!said.includes("\n")) {
      const { value } = await reader.read();
      assert(value !== undefined, "the host's server has ended");
      said += decoder.decode(value);
    }
    await reader.cancel();
    return new HostServer(child, said.trim());
  }

  /** As `sha256sum` prints it of stdin. */
  get sum(): string {
    return `${this.said.split(" ")[0]}  -`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.stderr.cancel();
    await this.#child.status;
  }
}

/** Fetches `url` in the namespace and returns `HASH BYTES` of it, or fails after `ms`. */
export async function fetched(network: NetNamespace, url: string, ms = FETCH_MS): Promise<string> {
  const child = network.spawn(Deno.execPath(), ...DENO, "fetch", url);
  const ended = child.output();
  try {
    const { stdout } = await within(ms, `the host fetches ${url}`, ended);
    return decoder.decode(stdout).trim();
  } catch (error) {
    child.kill("SIGKILL");
    await ended;
    throw error;
  }
}
