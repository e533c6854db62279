/** The connections of a vsock device by their addresses, and how many there may be. */
import type { Connection } from "./connection.ts";

/** As Firecracker: more are refused, so that a guest, or a client on the host, cannot use up descriptors (HD-88). */
export const MAX_CONNECTIONS = 1023;
/** Host ports for callers on the host: [2^30, 2^31), as Firecracker. */
const FIRST_HOST_PORT = 2 ** 30;
const END_HOST_PORT = 2 ** 31;

export class ConnectionTable {
  /** By host port, then guest port: together they do not fit into a number. */
  readonly #flows = new Map<number, Map<number, Connection>>();
  readonly #all = new Set<Connection>();
  #nextHostPort = FIRST_HOST_PORT;

  /** Connections that hold anything. */
  get size(): number {
    return this.#all.size;
  }

  get full(): boolean {
    return this.#all.size >= MAX_CONNECTIONS;
  }

  /** The connection with these addresses. */
  find(hostPort: number, guestPort: number): Connection | undefined {
    return this.#flows.get(hostPort)?.get(guestPort);
  }

  add(connection: Connection): void {
    const { hostPort, guestPort } = connection;
    let guestPorts = this.#flows.get(hostPort);
    if (guestPorts === undefined) this.#flows.set(hostPort, guestPorts = new Map());
    guestPorts.set(guestPort, connection);
    this.#all.add(connection);
  }

  /** Its addresses are free again (VSOCK-29), though it still counts. */
  release(connection: Connection): void {
    const { hostPort, guestPort } = connection;
    const guestPorts = this.#flows.get(hostPort);
    if (guestPorts?.get(guestPort) !== connection) return; // released before, and taken by another
    guestPorts.delete(guestPort);
    if (guestPorts.size === 0) this.#flows.delete(hostPort);
  }

  remove(connection: Connection): void {
    this.release(connection);
    this.#all.delete(connection);
  }

  /** A host port no connection to `guestPort` has; in rotation, so that one just closed is not used again at once. */
  freeHostPort(guestPort: number): number {
    for (;;) { // ends: there are far more ports than connections
      const port = this.#nextHostPort;
      this.#nextHostPort = port + 1 === END_HOST_PORT ? FIRST_HOST_PORT : port + 1;
      if (this.find(port, guestPort) === undefined) return port;
    }
  }

  /** Drops every connection. */
  clear(): void {
    for (const connection of this.#all) connection.drop();
    this.#all.clear();
    this.#flows.clear();
  }
}
