/**
 * A network without privileges: Debian's passt translates between the guest's frames and ordinary sockets of the host.
 * It is started with one end of a socket pair, and ends with it, however we end.
 */
import { O_RDWR } from "../../src/abi/linux.ts";
import { Child, CHILD_SOCKET } from "../../src/sys/child.ts";
import { openFile, type OwnedFd } from "../../src/sys/fd.ts";
import { childPair } from "../../src/sys/unix_socket.ts";
import type { PortForward } from "./connection.ts";
import type { StreamSource } from "./stream_backend.ts";

/** What cannot be done without it is said within this time: no route, a port that is taken. */
const SETTLE_MS = 60;
const LOOK_MS = 3;
/** Loopback only: what is published to others is published by name. */
const DEFAULT_ADDRESS = "127.0.0.1";

/** passt has ended before it began. */
export class PasstError extends Error {
  override readonly name = "PasstError";
  readonly code = "NET_PASST";
  constructor(message: string, readonly hint: string) {
    super(message);
  }
}

/** A passt of our own. Stopped by `close`. */
export class PasstSource implements StreamSource {
  readonly endsWith = "passt has ended: the link stays down";
  readonly #fd: OwnedFd;
  readonly #child: Child;
  #given = false;

  /** Throws SysError when there is no passt, PasstError with its own words when it cannot work here. */
  constructor(forwards: readonly PortForward[]) {
    const [ours, theirs] = childPair();
    this.#fd = ours;
    const path = Deno.makeTempFileSync({ prefix: "dinovisor-passt-" });
    using log = openFile(path, O_RDWR);
    Deno.removeSync(path);
    try {
      this.#child = new Child(passtWords(forwards), theirs.number, log.number);
    } catch (error) {
      ours.close();
      throw error;
    } finally {
      theirs.close();
    }
    if (!this.#hasEnded()) return;
    ours.close();
    const said = Deno.readTextFileSync(`/proc/self/fd/${log.number}`).trim().split("\n");
    const reasons = said.filter((line) => !line.startsWith("Failed to send")); // to a syslog that is not there
    throw new PasstError(
      `Cannot start passt: ${reasons.at(-1) || "it ended without a word"}`,
      "it needs an interface with a default route, and ports that nobody else has",
    );
  }

  #hasEnded(): boolean {
    const clock = new Int32Array(new SharedArrayBuffer(4));
    for (let waited = 0; waited < SETTLE_MS; waited += LOOK_MS) {
      if (this.#child.ended) return true;
      Atomics.wait(clock, 0, 0, LOOK_MS);
    }
    return false;
  }

  /** There is one connection for the life of the machine: when passt dies the link stays down. */
  seek(connected: (fd: OwnedFd) => void): void {
    if (!this.#given) connected(this.#fd);
    this.#given = true;
  }

  close(): void {
    this.#child.stop();
  }
}

function passtWords(forwards: readonly PortForward[]): string[] {
  const ports = forwards.flatMap(({ address = DEFAULT_ADDRESS, hostPort, guestPort }) => [
    "--tcp-ports",
    `${address}/${hostPort}:${guestPort}`,
  ]);
  return ["passt", "--foreground", "--quiet", "--fd", `${CHILD_SOCKET}`, ...ports];
}
