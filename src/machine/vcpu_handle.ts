/** A vCPU as the control side holds it, wherever it runs. Implemented by `worker_vcpu.ts` and `local_vcpu.ts`. */
import type { BootState } from "../arch/types.ts";
import type { PlainError, VcpuExit, VcpuInit } from "../ipc/messages.ts";
import type { Window } from "./windows.ts";

/** What a running vCPU tells. */
export interface VcpuEvents {
  /** It has left its run loop for good. `startedAt`: when it first entered the guest, in epoch milliseconds. */
  exited(id: number, exit: VcpuExit, startedAt: number): void;
  /** Its thread failed. */
  died(error: PlainError): void;
}

/** What all vCPUs of a machine are made from. */
export type VcpuSetup = Omit<VcpuInit<readonly Window[]>, "id">;

/** One vCPU. Its request word in the control block is its group's. */
export interface VcpuHandle {
  readonly id: number;
  /** Whether it has left its run loop, or died. */
  readonly done: boolean;
  /** Messages received from its worker; 0 without one. */
  readonly received: number;
  /** Makes the vCPU. Rejects with the PlainError when it cannot be made. */
  init(setup: VcpuSetup): Promise<void>;
  /** Lets it run. Only the boot processor gets a state: the others wait inside KVM for its INIT and SIPI. */
  start(state: BootState | undefined, events: VcpuEvents): void;
  /** Makes it look at its request word, wherever it is: in the guest, parked, or on its way in or out. */
  kick(): void;
  /** No kick follows: it may let go of its run page. Resolves when it has, or is dead. */
  leave(): Promise<void>;
  /** Ends its thread. */
  terminate(): void;
}
