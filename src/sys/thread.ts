/**
 * Signals of single threads. The kick signal (design.md 5, "Kick recipe"): a vCPU thread blocks it everywhere but inside KVM_RUN, so
 * a `tgkill` from any thread makes KVM_RUN return EINTR and does nothing else.
 */
import { SIG_BLOCK, SIGRTMIN, SIGXFSZ } from "../abi/linux.ts";
import { libc } from "./libc.ts";
import { check, SysError } from "./sys_error.ts";

/** What `kickThread` sends. */
export const KICK_SIGNAL = SIGRTMIN;

// sigset_t: 1024 bits in glibc, of which the kernel reads the first 64; signal n is bit n - 1.
const kickSet = signalSet(KICK_SIGNAL);
const NO_WAIT = new Uint8Array(16);

function signalSet(signal: number): Uint8Array<ArrayBuffer> {
  const set = new Uint8Array(128);
  set[(signal - 1) >> 3] = 1 << ((signal - 1) & 7);
  return set;
}

declare const targetBrand: unique symbol;
/** The id of a thread that blocks the kick signal: to any other, a kick would be the end of the process. */
export type KickTarget = number & { readonly [targetBrand]: true };

/**
 * Makes the calling thread a target, for good, and tells its id. There is no other way to one, so that nobody can kick
 * a thread that is not ready for it.
 */
export function kickTarget(): KickTarget {
  block(kickSet);
  return libc().gettid() as KickTarget;
}

/**
 * From now on a write of the calling thread behind the limit on the size of files (`ulimit -f`) fails with EFBIG. It would
 * end the process: a guest that writes to the end of its disk could.
 */
export function refuseFileSizeSignal(): void {
  block(signalSet(SIGXFSZ));
}

function block(set: Uint8Array<ArrayBuffer>): void {
  const error = libc().pthread_sigmask(SIG_BLOCK, set, null);
  if (error !== 0) throw new SysError("pthread_sigmask", error);
}

/** Takes the kick signals pending in the calling thread, so that the next KVM_RUN does not return at once. */
export function drainKickSignal(): void {
  while (libc().sigtimedwait(kickSet, null, NO_WAIT) === KICK_SIGNAL);
}

/** Makes `target`, a thread of this process, leave KVM_RUN. */
export function kickThread(target: KickTarget): void {
  check(libc().tgkill(libc().getpid(), target, KICK_SIGNAL), "tgkill");
}
