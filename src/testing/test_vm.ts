/** A guest under test: how it has to end, and its console. */
import type { Vm, VmStatus } from "../sandbox/vm.ts";
import { GuestFailure } from "./guest_failure.ts";
import { TestConsole } from "./test_console.ts";

/** Who has booted it. */
export interface TestVmOwner {
  /** The machine has ended. */
  ended(): void;
  /** Nothing is left of it. */
  disposed(): void;
}

/** A guest under test. */
export class TestVm implements AsyncDisposable {
  /** What it prints, and what is typed there. */
  readonly console: TestConsole;
  /** The machine, for all else: pause, vsock, kill. Its `console.readable` is read already. */
  readonly vm: Vm;
  /** How it ends, also when its time is up. Never rejects. */
  readonly status: Promise<VmStatus>;
  readonly #limit: AbortSignal;
  readonly #owner: TestVmOwner;
  #disposed = false;

  /** For `bootForTest`: `limit` is what ends `vm`. */
  constructor(vm: Vm, limit: AbortSignal, owner: TestVmOwner) {
    this.vm = vm;
    this.#limit = limit;
    this.#owner = owner;
    this.console = new TestConsole(vm.console, limit);
    this.status = vm.status.then(async (status) => {
      owner.ended();
      await this.console.ended;
      return status;
    });
  }

  /** Waits for its end, whatever it is. Rejects with GuestFailure GUEST_TIMEOUT when its time is up. */
  async ended(): Promise<VmStatus> {
    const status = await this.status;
    const { aborted, reason } = this.#limit;
    if (status.reason !== "killed" || !aborted) return status;
    const why = reason instanceof Error ? reason.message : reason;
    throw this.#failure(`Guest had not ended in time: ${why}`, "GUEST_TIMEOUT", {
      hint: "it hangs, or needs longer: bootForTest({ signal: AbortSignal.timeout(300_000) })",
    });
  }

  /**
   * Waits for its end, and fails unless it has written `code` to its exit register. To have switched itself off, or to have
   * restarted, is 0 as well. Rejects with GuestFailure: EXIT_DIFFERS, GUEST_DIED, GUEST_KILLED, GUEST_TIMEOUT.
   */
  async assertExit(code = 0): Promise<VmStatus> {
    const status = await this.ended();
    const expected = `instead of ending with status ${code}`;
    const why = status.detail === undefined ? "" : `: ${status.detail}`;
    switch (status.reason) {
      case "panic":
        throw this.#failure(`Guest panicked ${expected}${why}`, "GUEST_DIED");
      case "crash":
        throw this.#failure(`Guest crashed ${expected}${why}`, "GUEST_DIED");
      case "killed":
        throw this.#failure(`Guest was killed ${expected}`, "GUEST_KILLED");
      case "exit-device":
        if (status.code === code) return status;
        throw this.#failure(`Guest ended with status ${status.code}, not ${code}`, "EXIT_DIFFERS");
      case "poweroff":
      case "reboot": {
        if (code === 0) return status;
        const did = status.reason === "reboot" ? "restarted" : "switched itself off";
        throw this.#failure(`Guest ${did} ${expected}`, "EXIT_DIFFERS");
      }
    }
  }

  #failure(message: string, code: string, options?: { readonly hint: string }): GuestFailure {
    return new GuestFailure(message, code, this.console.text, options);
  }

  /** Pulls the plug, and waits until nothing is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.vm[Symbol.asyncDispose]();
    await this.status;
    this.#owner.disposed();
  }
}
