/** The control side's door to what a VM needs from KVM before its first vCPU. Picks like `mod.ts` one day. */
export { setUpVm } from "./x86_64/vm_setup.ts";
