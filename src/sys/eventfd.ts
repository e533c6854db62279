/** Eventfds: how a guest's kick reaches the I/O loop, a device's interrupt KVM, and one thread another. */
import { EFD_CLOEXEC, EFD_NONBLOCK } from "../abi/linux.ts";
import { type FdNumber, OwnedFd } from "./fd.ts";
import { libc } from "./libc.ts";
import { check } from "./sys_error.ts";

/** A new non-blocking eventfd with count 0. Throws SysError (EMFILE). */
export function createEventfd(): OwnedFd {
  return new OwnedFd(check(libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
}

// u64 1, little-endian; never written to, so one for all callers.
const ONE = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
const sink = new Uint8Array(8);

/** Adds 1 to the count, waking whoever polls it. Cannot block; a full counter already means "signalled". */
export function signalEventfd(fd: FdNumber): void {
  libc().write(fd, ONE, 8);
}

/** Sets the count back to 0. Returns false if it was 0 already. */
export function drainEventfd(fd: FdNumber): boolean {
  return libc().read(fd, sink, 8) === 8;
}
