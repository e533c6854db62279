/** Unix stream sockets, non-blocking: pairs, and ends that others connect to or listen at. */
import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, sockaddr_un } from "../abi/linux.ts";
import { type FdNumber, OwnedFd } from "./fd.ts";
import { errno, libc } from "./libc.ts";
import { check, EAGAIN, SysError } from "./sys_error.ts";

const TYPE = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
/** Longest path of a Unix socket: `sun_path` less its NUL. */
export const UNIX_PATH_BYTES: number = sockaddr_un.size - sockaddr_un.at.sun_path - 1;
/** Connections that may wait to be accepted; one at a time is served. */
const BACKLOG = 1;

/** Two connected ends. Throws SysError. */
export function unixPair(): [OwnedFd, OwnedFd] {
  const fds = new Uint8Array(8);
  check(libc().socketpair(AF_UNIX, TYPE, 0, fds), "socketpair");
  const view = new DataView(fds.buffer);
  return [new OwnedFd(view.getInt32(0, true)), new OwnedFd(view.getInt32(4, true))];
}

/** Connects to the socket at `path`. Throws SysError: ENOENT and ECONNREFUSED while nobody listens there. */
export function connectUnix(path: string): OwnedFd {
  return opened(
    `connect to "${path}"`,
    path,
    (fd, address) => libc().connect(fd, address, address.length),
  );
}

/** Makes a socket at `path`, which must not exist, and listens there. Throws SysError. */
export function listenUnix(path: string): OwnedFd {
  return opened(`listen at "${path}"`, path, (fd, address) => {
    const bound = libc().bind(fd, address, address.length);
    return bound === -1 ? -1 : libc().listen(fd, BACKLOG);
  });
}

function opened(
  call: string,
  path: string,
  use: (fd: FdNumber, address: Uint8Array<ArrayBuffer>) => number,
): OwnedFd {
  const fd = new OwnedFd(check(libc().socket(AF_UNIX, TYPE, 0), "socket"));
  if (use(fd.number, addressOfPath(path)) === 0) return fd;
  const number = errno();
  fd.close();
  throw new SysError(call, number);
}

/** The next connection to a listening socket; undefined when there is none. Throws SysError. */
export function acceptUnix(listener: FdNumber): OwnedFd | undefined {
  const fd = libc().accept4(listener, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) return new OwnedFd(fd);
  const number = errno();
  if (number === EAGAIN) return undefined;
  throw new SysError("accept", number);
}

function addressOfPath(path: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sockaddr_un.size);
  new DataView(bytes.buffer).setUint16(sockaddr_un.at.sun_family, AF_UNIX, true);
  const room = bytes.subarray(sockaddr_un.at.sun_path, bytes.length - 1);
  const { read } = new TextEncoder().encodeInto(path, room);
  if (read < path.length) throw new SysError(`use the socket path "${path}"`, ENAMETOOLONG);
  return bytes;
}

const ENAMETOOLONG = 36;
