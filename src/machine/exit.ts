/** How a machine ends. */
import type { VcpuExit } from "../ipc/messages.ts";

/** Why it ended. */
export type ExitReason =
  /** The guest switched itself off. */
  | "poweroff"
  /** The guest asked for a reset: keyboard controller, or a triple fault with an empty IDT. */
  | "reboot"
  /** The guest wrote its exit register; `status` is what it wrote. */
  | "exit-register"
  /** A reset right after the kernel's panic message. */
  | "panic"
  /** A triple fault that was no reboot. */
  | "triple-fault"
  /** KVM could not go on. */
  | "kvm-error"
  /** `Machine.stop` was called: quit key, signal, time limit. */
  | "stopped"
  /** A thread of the monitor died: our fault. */
  | "internal-error";

/** How a machine ended. */
export interface MachineExit {
  /** Why. */
  readonly reason: ExitReason;
  /** `exit-register` only: the byte. */
  readonly status?: number;
  /** What is known beyond the reason, for people. */
  readonly detail?: string;
  /** What to do about it, for people. */
  readonly hint?: string;
  /** From `start` to the guest's first instruction, in milliseconds. */
  readonly bootMs?: number;
  /** Exits to this process, by kind, over all vCPUs. */
  readonly exits: { readonly mmio: number; readonly pio: number; readonly other: number };
}

/** What is known of the end before the last thread has gone. */
export type Outcome = Pick<MachineExit, "reason" | "status" | "detail" | "hint">;

/** How a machine ends when one of its vCPUs has left the guest by itself. */
export function outcomeOf(exit: Exclude<VcpuExit, { kind: "asked" }>): Outcome {
  switch (exit.kind) {
    case "exit-register":
      return { reason: "exit-register", status: exit.status };
    case "reset":
      return { reason: "reboot" };
    case "poweroff":
      return { reason: "poweroff" };
    case "triple-fault":
      return exit.deliberate
        ? { reason: "reboot" }
        : { reason: "triple-fault", detail: "the guest faulted while handling a double fault" };
    case "kvm-error":
      return {
        reason: "kvm-error",
        detail: exit.detail,
        ...(exit.hint === undefined ? {} : { hint: exit.hint }),
      };
  }
}
