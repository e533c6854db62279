/**
 * What a caller on the host says first, in Firecracker's dialect: `CONNECT <port>` and a newline; or, to the owner's
 * socket, `SEQPACKET <port>`. Pure.
 */
import { VIRTIO_VSOCK_TYPE_SEQPACKET, VIRTIO_VSOCK_TYPE_STREAM } from "./abi.ts";
import type { VsockType } from "./backend.ts";

/** Most bytes of the line, newline included. */
export const CONNECT_LINE_BYTES = 32;

const TYPES: ReadonlyMap<string, VsockType> = new Map<string, VsockType>([
  ["connect", VIRTIO_VSOCK_TYPE_STREAM],
  ["seqpacket", VIRTIO_VSOCK_TYPE_SEQPACKET],
]);

/** Whom a caller wants. */
export interface Call {
  /** The guest's. */
  readonly port: number;
  readonly type: VsockType;
}

/** What `line` (without its newline) asks for; undefined when it is not well formed. */
export function parseConnect(line: Uint8Array): Call | undefined {
  const words = String.fromCharCode(...line).split(/[ \t\n\v\f\r]+/).filter((word) => word !== "");
  const [command = "", port = ""] = words;
  const type = TYPES.get(command.toLowerCase());
  if (words.length < 2 || type === undefined) return undefined;
  if (!/^\+?\d{1,10}$/.test(port) || Number(port) > 0xffff_ffff) return undefined;
  return { port: Number(port), type };
}
