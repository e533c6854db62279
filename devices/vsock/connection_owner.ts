/** What a vsock connection is to the device, and the device to it. */
import type { VsockType } from "./backend.ts";
import type { Connection } from "./connection.ts";

/** What tells a connection from others, and its type, which every packet on it has (VSOCK-36). */
export interface Flow {
  readonly hostPort: number;
  readonly guestPort: number;
  readonly type: VsockType;
}

/** Where a connection is. `detached`: gone for the guest, but the host has not taken all of what it sent. */
export type ConnectionState = "requesting" | "open" | "detached" | "ended";

/** Implemented by the device. */
export interface ConnectionOwner {
  /** `connection` has something to say. */
  ready(connection: Connection): void;
  /** Call `expired` unless `settled` comes in time. */
  expect(connection: Connection): void;
  /** What was expected has come. */
  settled(connection: Connection): void;
  /** Its addresses are free again; `ended` may follow later (state `detached`). */
  release(connection: Connection): void;
  /** Nothing is left of it. */
  ended(connection: Connection): void;
}
