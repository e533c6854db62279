/**
 * The control side's door to what a VM and its vCPUs need from KVM before they run. When a second architecture comes,
 * this file picks like `mod.ts`.
 */
export { setUpVm } from "./x86_64/vm_setup.ts";
export {
  configureVcpu,
  type HostProcessor,
  hostProcessor,
  loadBootState,
} from "./x86_64/vcpu_setup.ts";
export { applyLapic, applySregs, encodeFpu, encodeRegs } from "./x86_64/vcpu_state.ts";
export {
  type CpuidEntry,
  type CpuidRequest,
  decodeCpuid,
  encodeCpuid,
  filterCpuid,
} from "./x86_64/cpuid.ts";
export { BOOT_MSRS, encodeMsrs, type MsrEntry } from "./x86_64/msrs.ts";
