/** A POSIX timer that kicks the thread that made it (thread.ts), again and again: no other thread is needed for it. */
import { CLOCK_MONOTONIC, itimerspec, SIGEV_THREAD_ID, sigevent } from "../abi/linux.ts";
import { libc } from "./libc.ts";
import { check } from "./sys_error.ts";
import { KICK_SIGNAL, kickTarget } from "./thread.ts";

const NS_PER_MS = 1_000_000;

/** Ticks until disposed. */
export class KickTimer implements Disposable {
  readonly #id: bigint;
  #armed = true;

  /** Both are more than 0 and below 1000. Throws SysError. */
  constructor(firstMs: number, periodMs: number) {
    const event = new Uint8Array(sigevent.size);
    const view = new DataView(event.buffer);
    view.setInt32(sigevent.at.sigev_signo, KICK_SIGNAL, true);
    view.setInt32(sigevent.at.sigev_notify, SIGEV_THREAD_ID, true);
    view.setInt32(sigevent.at._tid, kickTarget(), true);
    const id = new BigUint64Array(1);
    check(libc().timer_create(CLOCK_MONOTONIC, event, id), "timer_create");
    this.#id = id[0] ?? 0n;
    const times = new Uint8Array(itimerspec.size);
    const words = new DataView(times.buffer);
    words.setUint32(itimerspec.at.it_value_nsec, firstMs * NS_PER_MS, true);
    words.setUint32(itimerspec.at.it_interval_nsec, periodMs * NS_PER_MS, true);
    check(libc().timer_settime(this.#id, 0, times, null), "timer_settime");
  }

  [Symbol.dispose](): void {
    if (!this.#armed) return;
    this.#armed = false;
    libc().timer_delete(this.#id);
  }
}
