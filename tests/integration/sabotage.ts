/**
 * `main.ts` with a saboteur: once the machine is up it closes the descriptors that the variable SABOTAGE names, as
 * /proc/self/fd shows them. Run by `crash_test.ts`.
 */
import { main } from "../../src/cli/main.ts";
import { pageOf } from "../../src/cli/page_of.ts";
import { libc } from "../../src/sys/libc.ts";
import { descriptorsOf } from "../support/host_state.ts";
import { SLOWNESS } from "../support/kvm.ts";

const target = Deno.env.get("SABOTAGE") ?? "";
/** Long enough for the guest to be at work. */
const DELAY_MS = 1000 * SLOWNESS;

const looking = setInterval(() => {
  if (descriptorsOf(target).length === 0) return;
  clearInterval(looking);
  setTimeout(() => descriptorsOf(target).forEach((fd) => libc().close(fd)), DELAY_MS);
}, 10);

Deno.exit(await main(Deno.args, pageOf));
