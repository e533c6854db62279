/** Failed system calls as errors: the call, the errno by name and in words. Thrown by everything in `src/sys`. */
import { errno } from "./libc.ts";

// include/uapi/asm-generic/errno-base.h and errno.h; the wording is ours.
const ERRNO: Readonly<Record<number, readonly [name: string, words: string]>> = {
  1: ["EPERM", "operation not permitted"],
  2: ["ENOENT", "no such file or directory"],
  4: ["EINTR", "interrupted by a signal"],
  5: ["EIO", "input or output error"],
  6: ["ENXIO", "no such device or address"],
  7: ["E2BIG", "argument list too long"],
  9: ["EBADF", "bad file descriptor"],
  11: ["EAGAIN", "temporarily unavailable"],
  12: ["ENOMEM", "out of memory"],
  13: ["EACCES", "permission denied"],
  14: ["EFAULT", "bad address"],
  16: ["EBUSY", "busy"],
  17: ["EEXIST", "already exists"],
  19: ["ENODEV", "no such device"],
  20: ["ENOTDIR", "not a directory"],
  21: ["EISDIR", "is a directory"],
  22: ["EINVAL", "invalid argument"],
  23: ["ENFILE", "too many open files in the system"],
  24: ["EMFILE", "too many open files in this process"],
  25: ["ENOTTY", "not supported by this kind of file"],
  26: ["ETXTBSY", "file is being executed"],
  27: ["EFBIG", "file too large"],
  28: ["ENOSPC", "no space left"],
  30: ["EROFS", "read-only file system"],
  32: ["EPIPE", "nobody reads the other end"],
  36: ["ENAMETOOLONG", "name too long"],
  38: ["ENOSYS", "not implemented by this kernel"],
  95: ["EOPNOTSUPP", "not supported"],
  98: ["EADDRINUSE", "address already in use"],
  110: ["ETIMEDOUT", "timed out"],
  111: ["ECONNREFUSED", "nobody listens there"],
  122: ["EDQUOT", "disk quota exceeded"],
};

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const EBADF = 9;
export const EISDIR = 21;
export const EINVAL = 22;
/** A descriptor of an interface that was deleted (tun.c). */
export const EBADFD = 77;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const EPIPE = 32;
export const ENOSYS = 38;
export const EOPNOTSUPP = 95;
export const EADDRINUSE = 98;
export const ECONNREFUSED = 111;

/** "permission denied" for 13; "error 4711" for what we have no words for. */
export function errnoWords(number: number): string {
  return ERRNO[number]?.[1] ?? `error ${number}`;
}

/** "EACCES" for 13. */
export function errnoName(number: number): string {
  return ERRNO[number]?.[0] ?? `E${number}`;
}

/** A system call failed. `code` is the errno's name, such as "EACCES". */
export class SysError extends Error {
  override readonly name = "SysError";
  readonly code: string;
  /** `call` is what was tried, with its arguments in words: `open "/dev/kvm"`, `KVM_CREATE_VM`. */
  constructor(readonly call: string, readonly errno: number, readonly hint?: string) {
    super(`${call} failed: ${errnoWords(errno)} (${errnoName(errno)})`);
    this.code = errnoName(errno);
  }
}

/** Returns `result` unless it is -1, in which case errno becomes a SysError about `call`. */
export function check(result: number, call: string): number {
  if (result === -1) throw new SysError(call, errno());
  return result;
}
