/**
 * The vCPU workers' door to the architecture: encoders of processor state and words for failures, no loader. When a
 * second architecture comes, this file picks like `mod.ts`.
 */
export type { BootState } from "./types.ts";
export { applyLapic, applySregs, encodeFpu, encodeRegs } from "./x86_64/vcpu_state.ts";
export {
  type CpuidEntry,
  type CpuidRequest,
  decodeCpuid,
  encodeCpuid,
  filterCpuid,
} from "./x86_64/cpuid.ts";
export { Pit } from "./x86_64/vcpu_pit.ts";
export { BOOT_MSRS, encodeMsrs, type MsrEntry } from "./x86_64/msrs.ts";
export { type EmulationFailure, explainEmulationFailure } from "./x86_64/explain.ts";
export {
  configureVcpu,
  describeEmulationFailure,
  loadBootState,
  noteGuestWasPaused,
  tripleFaultWasReset,
} from "./x86_64/vcpu_setup.ts";
