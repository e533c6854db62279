/** Reading and writing descriptors of others (stdin, stdout, pipes) without ever blocking the I/O thread. */
import { O_CLOEXEC, O_NONBLOCK, O_WRONLY } from "../abi/linux.ts";
import { OwnedFd } from "./fd.ts";
import { cString, errno, libc } from "./libc.ts";

/** Bytes read into `into`; 0 at the end; -errno. */
export function readFd(fd: number, into: Uint8Array<ArrayBuffer>): number {
  const result = libc().read(fd, into, into.length);
  return result === -1 ? -errno() : result;
}

/** Bytes of `from`[0, length) written, or -errno. */
export function writeFd(fd: number, from: Uint8Array<ArrayBuffer>, length: number): number {
  const result = libc().write(fd, from, length);
  return result === -1 ? -errno() : result;
}

/**
 * The terminal or pipe behind `fd` opened anew for non-blocking writes. O_NONBLOCK on `fd` itself would also
 * change it for the shell that shares it. Undefined for anything else (a regular file would lose its offset).
 */
export function reopenForWriting(fd: number): OwnedFd | undefined {
  let stat: Deno.FileInfo;
  try {
    stat = Deno.statSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
  if (stat.isFifo !== true && stat.isCharDevice !== true) return undefined;
  const flags = O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
  const opened = libc().open(cString(`/proc/self/fd/${fd}`), flags, 0);
  return opened === -1 ? undefined : new OwnedFd(opened);
}

/** fcntl.h: opening a terminal must not make it ours. */
const O_NOCTTY = 0o400;
