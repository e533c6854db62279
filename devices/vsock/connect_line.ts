/** What a caller on the host says first, in Firecracker's dialect: `CONNECT <port>` and a newline. Pure. */

/** Most bytes of the line, newline included. */
export const CONNECT_LINE_BYTES = 32;

/** The guest's port in `line` (without its newline); undefined when it is not well formed. */
export function parseConnect(line: Uint8Array): number | undefined {
  const words = String.fromCharCode(...line).split(/[ \t\n\v\f\r]+/).filter((word) => word !== "");
  const [command = "", port = ""] = words;
  if (words.length < 2 || command.toLowerCase() !== "connect") return undefined;
  if (!/^\+?\d{1,10}$/.test(port) || Number(port) > 0xffff_ffff) return undefined;
  return Number(port);
}
