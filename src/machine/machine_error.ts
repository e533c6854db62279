/** What goes wrong with a machine as a whole, and the words for it. Used by `machine.ts`. */
import type { PlainError } from "../ipc/messages.ts";
import type { MachineStatus } from "./machine_options.ts";

/** A machine could not be made, one of its threads failed to come up, or it was asked for what its state forbids. */
export class MachineError extends Error {
  /** Its class, for people. */
  override readonly name = "MachineError";
  /** `code` is stable, for scripts; `hint` says what to do. */
  constructor(message: string, readonly code: string, readonly hint?: string) {
    super(message);
  }
}

/** `wish` is a verb: what was asked for in the wrong state. */
export function stateError(wish: string, state: MachineStatus): MachineError {
  return new MachineError(`Cannot ${wish} a machine that is ${state}`, "STATE");
}

/** KVM says how many, not the host's processors: those are shared out. Throws MachineError. */
export function requireVcpus(vcpus: number, most: number): void {
  if (vcpus <= most) return;
  throw new MachineError(
    `Cannot make a machine with ${vcpus} vCPUs: this host's KVM allows ${most}`,
    "CPUS_HOST",
    `ask for at most ${most} with --cpus`,
  );
}

/** What a worker could not do while the machine was built. */
export function startFailure(error: PlainError): MachineError {
  return new MachineError(error.message, error.code ?? "INTERNAL", error.hint);
}
