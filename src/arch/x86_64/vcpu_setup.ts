/** An x86 vCPU's state through KVM before it first runs: on the control thread. */
import { KVM_CHECK_EXTENSION } from "../../abi/kvm.ts";
import {
  KVM_CAP_TSC_DEADLINE_TIMER,
  kvm_cpuid2,
  kvm_cpuid_entry2,
  KVM_GET_LAPIC,
  KVM_GET_SREGS,
  KVM_GET_SUPPORTED_CPUID,
  kvm_lapic_state,
  KVM_SET_CPUID2,
  KVM_SET_FPU,
  KVM_SET_LAPIC,
  KVM_SET_MSRS,
  KVM_SET_REGS,
  KVM_SET_SREGS,
  kvm_sregs,
} from "../../abi/kvm_x86.ts";
import { checkKvm, KvmError } from "../../kvm/kvm_error.ts";
import type { KvmVcpu } from "../../kvm/vcpu.ts";
import type { FdNumber } from "../../sys/fd.ts";
import { libc } from "../../sys/libc.ts";
import { EINVAL } from "../../sys/sys_error.ts";
import type { X86BootState } from "./boot_state.ts";
import { type CpuidEntry, decodeCpuid, encodeCpuid, filterCpuid } from "./cpuid.ts";
import { BOOT_MSRS, encodeMsrs } from "./msrs.ts";
import { applyLapic, applySregs, encodeFpu, encodeRegs } from "./vcpu_state.ts";

/** Room for KVM_GET_SUPPORTED_CPUID; today's processors need about 60. */
const MAX_CPUID_ENTRIES = 256;

/** What vCPUs can be given on this host. */
export interface HostProcessor {
  readonly cpuid: readonly CpuidEntry[];
  readonly tscDeadline: boolean;
}

/** Asks KVM, which asks the processor: the same for all vCPUs. Throws KvmError. */
export function hostProcessor(kvmFd: FdNumber): HostProcessor {
  return {
    cpuid: supportedCpuid(kvmFd),
    tscDeadline: libc().ioctl(kvmFd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0,
  };
}

/** CPUID, MSRs, FPU and the local APIC's pins: what every vCPU gets. Throws KvmError. */
export function configureVcpu(vcpu: KvmVcpu, host: HostProcessor, vcpuCount: number): void {
  const { cpuid, tscDeadline } = host;
  const entries = filterCpuid(cpuid, { vcpuId: vcpu.id, vcpuCount, tscDeadline });
  vcpu.set(KVM_SET_CPUID2, encodeCpuid(entries), "KVM_SET_CPUID2");
  setBootMsrs(vcpu);
  vcpu.set(KVM_SET_FPU, encodeFpu(), "KVM_SET_FPU");
  const lapic = new Uint8Array(kvm_lapic_state.size);
  vcpu.get(KVM_GET_LAPIC, lapic, "KVM_GET_LAPIC");
  applyLapic(lapic);
  vcpu.set(KVM_SET_LAPIC, lapic, "KVM_SET_LAPIC");
}

/** KVM stops at the first MSR it does not take, and returns how many it took. */
function setBootMsrs(vcpu: KvmVcpu): void {
  const taken = vcpu.set(KVM_SET_MSRS, encodeMsrs(BOOT_MSRS), "KVM_SET_MSRS");
  const refused = BOOT_MSRS[taken];
  if (refused === undefined) return;
  throw new KvmError(
    `KVM_SET_MSRS of 0x${refused.index.toString(16)} of vCPU ${vcpu.id}`,
    EINVAL,
  );
}

function supportedCpuid(kvmFd: FdNumber): CpuidEntry[] {
  const bytes = new Uint8Array(kvm_cpuid2.size + MAX_CPUID_ENTRIES * kvm_cpuid_entry2.size);
  new DataView(bytes.buffer).setUint32(kvm_cpuid2.at.nent, MAX_CPUID_ENTRIES, true);
  checkKvm(libc().ioctl_buffer(kvmFd, KVM_GET_SUPPORTED_CPUID, bytes), "KVM_GET_SUPPORTED_CPUID");
  return decodeCpuid(bytes);
}

/** Registers of the boot processor; the others wait for INIT and SIPI as KVM made them. */
export function loadBootState(vcpu: KvmVcpu, state: X86BootState): void {
  const sregs = new Uint8Array(kvm_sregs.size);
  vcpu.get(KVM_GET_SREGS, sregs, "KVM_GET_SREGS");
  applySregs(sregs, state);
  vcpu.set(KVM_SET_SREGS, sregs, "KVM_SET_SREGS");
  vcpu.set(KVM_SET_REGS, encodeRegs(state), "KVM_SET_REGS");
}
