/**
 * Unix stream sockets, non-blocking, with data moved straight between the kernel and iovecs over guest RAM. Used by
 * the backends of virtio-vsock and virtio-net. A name that begins with NUL is in the abstract namespace (unix(7)): no file.
 */
import {
  AF_UNIX,
  FIONBIO,
  MSG_NOSIGNAL,
  MSG_PEEK,
  msghdr,
  pollfd,
  POLLHUP,
  SHUT_RD,
  SHUT_WR,
  SO_PEERCRED,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  sockaddr_un,
  SOL_SOCKET,
  ucred,
} from "../abi/linux.ts";
import { type FdNumber, OwnedFd } from "./fd.ts";
import { addressOf, errno, libc } from "./libc.ts";
import { check, ECONNREFUSED, SysError } from "./sys_error.ts";

/** Hundreds of callers may come at once; the kernel cuts it to net.core.somaxconn. */
const BACKLOG = 1024;
const encoder = new TextEncoder();

/** `struct sockaddr_un` of `path`, cut to its length: in the abstract namespace each byte counts, NULs too. */
function socketAddress(path: string): Uint8Array<ArrayBuffer> {
  const name = encoder.encode(path.startsWith("\0") ? path : `${path}\0`);
  const address = new Uint8Array(sockaddr_un.at.sun_path + name.length);
  new DataView(address.buffer).setUint16(sockaddr_un.at.sun_family, AF_UNIX, true);
  address.set(name, sockaddr_un.at.sun_path);
  return address;
}

function newSocket(): OwnedFd {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  return new OwnedFd(check(libc().socket(AF_UNIX, type, 0), "socket"));
}

/**
 * Two connected ends: ours, and one for a child. The child's blocks, as programs expect: passt finishes with a plain send
 * what a full socket has taken only a part of, and what follows is no frame when that fails. Throws SysError.
 */
export function childPair(): [ours: OwnedFd, theirs: OwnedFd] {
  const fds = new Uint8Array(8);
  check(libc().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair");
  const view = new DataView(fds.buffer);
  const ours = new OwnedFd(view.getInt32(0, true));
  const theirs = new OwnedFd(view.getInt32(4, true));
  const yes = new Uint8Array(Int32Array.of(1).buffer);
  check(libc().ioctl_buffer(ours.number, FIONBIO, yes), "FIONBIO");
  return [ours, theirs];
}

/** A socket that listens on `path`. Throws SysError (EADDRINUSE, EACCES, ENOENT). */
export function listenUnix(path: string): OwnedFd {
  const fd = newSocket();
  try {
    const address = socketAddress(path);
    const name = path.replace("\0", "@");
    check(libc().bind(fd.number, address, address.length), `bind to "${name}"`);
    check(libc().listen(fd.number, BACKLOG), `listen on "${name}"`);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** The next caller, or an errno: EAGAIN when there is none, EMFILE when there is no descriptor for it. */
export function acceptUnix(listener: FdNumber): OwnedFd | number {
  const fd = libc().accept4(listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return fd === -1 ? errno() : new OwnedFd(fd);
}

/** A connection to who listens on `path`, or an errno: ENOENT, ECONNREFUSED, EAGAIN (too many wait there already). */
export function connectUnix(path: string): OwnedFd | number {
  let fd: OwnedFd;
  try {
    fd = newSocket();
  } catch (error) {
    if (error instanceof SysError) return error.errno; // EMFILE
    throw error;
  }
  const address = socketAddress(path);
  if (libc().connect(fd.number, address, address.length) === 0) return fd;
  const number = errno();
  fd.close();
  return number;
}

const credentials = new Uint8Array(ucred.size);
const credentialsLength = new Uint8Array(Uint32Array.of(ucred.size).buffer);

/** The process at the other end of `fd`; 0 when it cannot be told. */
export function peerProcess(fd: FdNumber): number {
  new DataView(credentialsLength.buffer).setUint32(0, ucred.size, true);
  const result = libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, credentialsLength);
  return result === -1 ? 0 : new DataView(credentials.buffer).getInt32(ucred.at.pid, true);
}

/** Listens at the abstract `name` for the threads of this process: `acceptWithinProcess`. Throws SysError. */
export function listenWithinProcess(name: string): OwnedFd {
  return listenUnix(`\0${name}`);
}

/**
 * The next connection of this process; undefined when there is none, no descriptor for it, or when it is a stranger's:
 * /proc/net/unix shows everybody the name. One stranger is turned away in each call, so that they cannot keep the caller.
 */
export function acceptWithinProcess(listener: FdNumber): OwnedFd | undefined {
  const fd = acceptUnix(listener);
  if (typeof fd === "number") return undefined;
  if (peerProcess(fd.number) === ownProcess()) return fd;
  fd.close();
  return undefined;
}

/**
 * A connection to the abstract `name` if it is this process that listens there, or an errno: ECONNREFUSED for a stranger,
 * too. Once its listener is gone, a name is anybody's.
 */
export function connectWithinProcess(name: string): OwnedFd | number {
  const fd = connectUnix(`\0${name}`);
  if (typeof fd === "number" || peerProcess(fd.number) === ownProcess()) return fd;
  fd.close();
  return ECONNREFUSED;
}

const polled = new Uint8Array(pollfd.size);
const polledView = new DataView(polled.buffer);

/** Whether both directions of `fd` are over: the peer has closed, or each side has ended its own. */
export function isHungUp(fd: FdNumber): boolean {
  polledView.setInt32(pollfd.at.fd, fd, true);
  libc().poll(polled, 1, 0);
  return (polledView.getUint16(pollfd.at.revents, true) & POLLHUP) !== 0;
}

/** The number of this process. */
export function ownProcess(): number {
  return libc().getpid();
}

/** Bytes that wait, copied to `into` and left where they are; 0 at the end; -errno. */
export function peekSocket(fd: FdNumber, into: Uint8Array<ArrayBuffer>): number {
  const result = libc().recv(fd, into, into.length, MSG_PEEK);
  return result === -1 ? -errno() : result;
}

/** Bytes read into the `count` iovecs of `words`; 0 at the end; -errno. */
export function readSocket(fd: FdNumber, words: Uint32Array<ArrayBuffer>, count: number): number {
  const result = libc().readv(fd, words, count);
  return result === -1 ? -errno() : result;
}

/** A list of iovecs that remembers where it lies: `IovecList`. */
interface AddressedWords {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly count: number;
  wordsAddress: number;
}

const message = new Uint8Array(msghdr.size);
const messageView = new DataView(message.buffer);

/** Bytes of `from` that were sent, or -errno; never SIGPIPE. */
export function sendSocket(fd: FdNumber, from: AddressedWords): number {
  if (from.wordsAddress === 0) from.wordsAddress = addressOf(from.words);
  messageView.setUint32(msghdr.at.msg_iov, from.wordsAddress, true);
  messageView.setUint32(msghdr.at.msg_iov + 4, from.wordsAddress / 0x1_0000_0000, true);
  messageView.setUint32(msghdr.at.msg_iovlen, from.count, true);
  const result = libc().sendmsg(fd, message, MSG_NOSIGNAL);
  return result === -1 ? -errno() : result;
}

/** Bytes of `from` that were sent, or -errno; never SIGPIPE. */
export function sendBytes(fd: FdNumber, from: Uint8Array<ArrayBuffer>): number {
  const result = libc().send(fd, from, from.length, MSG_NOSIGNAL);
  return result === -1 ? -errno() : result;
}

/** The peer reads the end behind what it has not read yet. */
export function endOutput(fd: FdNumber): void {
  libc().shutdown(fd, SHUT_WR);
}

/** The peer's writes fail from now on. */
export function endInput(fd: FdNumber): void {
  libc().shutdown(fd, SHUT_RD);
}
