/**
 * Descriptors that outlive the process for a moment: in a message between two sockets that nobody has any more
 * (unix(7), SCM_RIGHTS). The kernel collects such messages on a thread of its own and closes what is in them.
 */
import {
  AF_UNIX,
  cmsghdr,
  iovec,
  msghdr,
  SCM_RIGHTS,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../abi/linux.ts";
import type { FdNumber } from "./fd.ts";
import { addressOf, libc } from "./libc.ts";

const INT_BYTES = 4;

/**
 * For a process that is about to end: what `fd` stands for is then released behind it, not by it. Where that cannot be
 * done (a limit, a filter of system calls) nothing happens, and the process ends later.
 */
export function leaveInFlight(fd: FdNumber): void {
  const pair = new Int32Array(2);
  if (libc().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, asBytes(pair)) !== 0) return;
  const [sender = -1, receiver = -1] = pair;
  // The receiver is in its own queue: once its number is closed, only the collector can reach it. The collector runs
  // when a socket ends, which is the sender, with the process.
  sendDescriptors(sender, [fd, receiver]);
  libc().close(receiver);
}

/** One byte with `fds`: a stream carries descriptors with data only. */
function sendDescriptors(socket: number, fds: readonly number[]): void {
  const vectorAt = msghdr.size;
  const controlAt = vectorAt + iovec.size;
  const controlSize = cmsghdr.size + INT_BYTES * fds.length;
  const bytes = new Uint8Array(controlAt + controlSize + 1);
  const view = new DataView(bytes.buffer);
  const address = addressOf(bytes);
  const put = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true);
  put(msghdr.at.msg_iov, address + vectorAt);
  put(msghdr.at.msg_iovlen, 1);
  put(msghdr.at.msg_control, address + controlAt);
  put(msghdr.at.msg_controllen, controlSize);
  put(vectorAt + iovec.at.iov_base, address + controlAt + controlSize);
  put(vectorAt + iovec.at.iov_len, 1);
  put(controlAt + cmsghdr.at.cmsg_len, controlSize);
  view.setInt32(controlAt + cmsghdr.at.cmsg_level, SOL_SOCKET, true);
  view.setInt32(controlAt + cmsghdr.at.cmsg_type, SCM_RIGHTS, true);
  fds.forEach((fd, i) => view.setInt32(controlAt + cmsghdr.size + INT_BYTES * i, fd, true));
  libc().sendmsg_rights(socket, bytes, 0);
}

function asBytes(numbers: Int32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(numbers.buffer);
}
