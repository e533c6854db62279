/** Boots a kernel in a test, with a time limit, and with failures that show what its console said. */
import { Machine } from "../machine/mod.ts";
import { VmError } from "../sandbox/errors.ts";
import { Vm } from "../sandbox/vm.ts";
import type { Size } from "../sandbox/size.ts";
import type { VmOptions } from "../sandbox/vm_options.ts";
import { givenOptions } from "./given_options.ts";
import { TestVm } from "./test_vm.ts";

/** A guest under test. What is left out is as `dinovisor test` was told. */
export interface TestBootOptions extends Omit<VmOptions, "agent" | "env"> {
  /** ELF vmlinux or bzImage; what `dinovisor test -k` names when left out. */
  readonly kernel?: string | URL;
  /** RAM; 64 MiB when neither this nor `dinovisor test -m` says. */
  readonly memory?: Size;
  /** Ends the guest, and with it each wait. After a minute when left out. */
  readonly signal?: AbortSignal;
}

const LIMIT_MS = 60_000;

/** How many of this process run. */
let running = 0;

/**
 * Boots a guest without an agent. Dispose it: `await using`.
 *
 * ```ts
 * import { bootForTest } from "@dinovisor/dinovisor/testing";
 *
 * await using vm = await bootForTest({ memory: "16MiB", signal: AbortSignal.timeout(30_000) });
 * await vm.console.waitFor("> ");
 * await vm.console.type("fail\n");
 * await vm.assertExit(3);
 * ```
 *
 * Rejects with VmError: KERNEL_MISSING when nobody has named a kernel, and what `Vm.boot` rejects with.
 */
export async function bootForTest(options: TestBootOptions = {}): Promise<TestVm> {
  const all = { ...givenOptions(options.kernel !== undefined), ...options };
  const limit = new Limit(options.signal);
  try {
    if (all.kernel === undefined) {
      throw new VmError("Cannot boot for a test: no kernel is named", "KERNEL_MISSING", {
        hint: "dinovisor test FILE -k KERNEL for all tests, bootForTest({ kernel }) for this one",
      });
    }
    const vm = await Vm.boot({ ...all, signal: limit.signal, agent: "none" });
    running++;
    limit.begin(); // now: the first time, Deno has checked the types of our workers until here
    return new TestVm(vm, limit.signal, {
      ended: () => limit.clear(),
      disposed() {
        running--;
        endIdleThreads();
      },
    });
  } catch (error) {
    limit.clear();
    endIdleThreads();
    throw shown(error);
  }
}

/** Threads that wait for the next machine are no leak, but they look like one to Deno's tests. */
function endIdleThreads(): void {
  if (running === 0) Machine.endIdleThreads();
}

/** When a guest has to end: the caller's signal, or a minute after its start. */
class Limit {
  readonly signal: AbortSignal;
  readonly #own: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#own = signal === undefined ? new AbortController() : undefined;
    this.signal = signal ?? (this.#own as AbortController).signal;
  }

  begin(): void {
    const own = this.#own;
    if (own === undefined) return;
    const late = new DOMException(`${LIMIT_MS / 1000} seconds are over`, "TimeoutError");
    this.#timer = setTimeout(() => own.abort(late), LIMIT_MS);
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}

/** With its hint in its message: test runners show nothing else of an error. */
function shown(error: unknown): unknown {
  if (!(error instanceof VmError) || error.hint === undefined) return error;
  const { message, code, hint } = error;
  return new VmError(`${message}\nhint: ${hint}`, code, { hint, cause: error });
}
