/**
 * `main.ts` on a host that is slow to hand over the first vCPU: the I/O thread is ready by then. Run by
 * `local_vcpu_test.ts`.
 */
import { main } from "../../src/cli/main.ts";
import { pageOf } from "../../src/cli/page_of.ts";
import { LocalVcpu } from "../../src/machine/local_vcpu.ts";
import { libc } from "../../src/sys/libc.ts";
import { KICK_SIGNAL } from "../../src/sys/thread.ts";
import { delay, SLOWNESS } from "../support/kvm.ts";

/** Longer than a worker takes to load and to report. */
const DELAY_MS = 500 * SLOWNESS;

/** asm-generic/signal-defs.h */
const SIG_UNBLOCK = 1;

// A test's process may have blocked the signal, and its children have that from it.
const set = new Uint8Array(128);
set[(KICK_SIGNAL - 1) >> 3] = 1 << ((KICK_SIGNAL - 1) & 7);
libc().pthread_sigmask(SIG_UNBLOCK, set, null);

const init = LocalVcpu.prototype.init;
LocalVcpu.prototype.init = async function (...parts): Promise<void> {
  await delay(DELAY_MS);
  await init.apply(this, parts);
};

Deno.exit(await main(Deno.args, pageOf));
