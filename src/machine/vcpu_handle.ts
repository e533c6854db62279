/** A vCPU as the control side holds it, wherever it runs. Implemented by `worker_vcpu.ts` and `local_vcpu.ts`. */
import type { PlainError, VcpuExit, VcpuInit } from "../ipc/messages.ts";
import type { OwnedVcpu } from "../kvm/vcpu.ts";
import type { Window } from "./windows.ts";

/** What a running vCPU tells. */
export interface VcpuEvents {
  /** It has left its run loop for good. `startedAt`: when it first entered the guest, in epoch milliseconds. */
  exited(id: number, exit: VcpuExit, startedAt: number): void;
  /** Its thread failed. */
  died(error: PlainError): void;
}

/** What all vCPUs of a machine are made from. */
export type VcpuSetup = Omit<VcpuInit<readonly Window[]>, "place">;

/** One vCPU and its thread. Its request word in the control block is its group's. */
export interface VcpuHandle {
  readonly id: number;
  /** Whether its thread does not have the vCPU: it has not been handed over yet, or the run loop is over, or it died. */
  readonly isIdle: boolean;
  /** Messages received from its worker; 0 without one. */
  readonly received: number;
  /** Has its thread load its modules, so that this one does other things meanwhile. */
  load(): void;
  /** Hands its thread the vCPU. Rejects with the PlainError when the thread cannot take it. */
  init(vcpu: OwnedVcpu, setup: VcpuSetup): Promise<void>;
  /** Lets it run. */
  start(events: VcpuEvents): void;
  /** Makes it look at its request word, wherever it is: in the guest, parked, or on its way in or out. */
  kick(): void;
  /** Its thread is not needed any more. Not while it runs the vCPU. */
  terminate(): void;
}
