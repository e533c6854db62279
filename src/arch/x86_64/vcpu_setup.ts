/** An x86 vCPU's state through KVM: on its own thread, before it first runs and after it last did. */
import { KVM_CHECK_EXTENSION } from "../../abi/kvm.ts";
import {
  KVM_CAP_TSC_DEADLINE_TIMER,
  kvm_cpuid2,
  kvm_cpuid_entry2,
  KVM_GET_LAPIC,
  KVM_GET_REGS,
  KVM_GET_SREGS,
  KVM_GET_SUPPORTED_CPUID,
  KVM_KVMCLOCK_CTRL,
  kvm_lapic_state,
  kvm_regs,
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
import { errno, libc } from "../../sys/libc.ts";
import { EINVAL } from "../../sys/sys_error.ts";
import type { X86BootState } from "./boot_state.ts";
import { type CpuidEntry, decodeCpuid, encodeCpuid, filterCpuid } from "./cpuid.ts";
import { explainEmulationFailure } from "./explain.ts";
import { BOOT_MSRS, encodeMsrs } from "./msrs.ts";
import { applyLapic, applySregs, encodeFpu, encodeRegs } from "./vcpu_state.ts";

/** Room for KVM_GET_SUPPORTED_CPUID; today's processors need about 60. */
const MAX_CPUID_ENTRIES = 256;

/** CPUID, MSRs, FPU and the local APIC's pins: what every vCPU gets. */
export function configureVcpu(vcpu: KvmVcpu, kvmFd: FdNumber, vcpuCount: number): void {
  const entries = filterCpuid(supportedCpuid(kvmFd), {
    vcpuId: vcpu.id,
    vcpuCount,
    tscDeadline: libc().ioctl(kvmFd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0,
  });
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

/**
 * Tells the guest that time has passed without it, so that its watchdogs do not take the pause for a lock-up
 * (api.rst 4.70). Throws KvmError.
 */
export function noteGuestWasPaused(vcpu: KvmVcpu): void {
  if (libc().ioctl(vcpu.fd, KVM_KVMCLOCK_CTRL, 0) === 0) return;
  const number = errno();
  if (number !== EINVAL) throw new KvmError(`KVM_KVMCLOCK_CTRL of vCPU ${vcpu.id}`, number);
  // EINVAL: the guest does not use kvmclock, so it has nobody to be told.
}

/**
 * Whether a triple fault was meant as a reboot: Linux loads an IDT with limit 0 and faults (`reboot=t`). On
 * AMD, KVM has reset the vCPU by now, and nothing is left to tell by.
 */
export function tripleFaultWasReset(vcpu: KvmVcpu): boolean {
  const sregs = new Uint8Array(kvm_sregs.size);
  vcpu.get(KVM_GET_SREGS, sregs, "KVM_GET_SREGS");
  return new DataView(sregs.buffer).getUint16(kvm_sregs.at.idt + 8, true) === 0; // kvm_dtable.limit
}

/** KVM's emulator gave up: on which instruction, where, and what that says about the host. */
export function describeEmulationFailure(
  vcpu: KvmVcpu,
  instruction: Uint8Array,
): { readonly detail: string; readonly hint: string } {
  const regs = new Uint8Array(kvm_regs.size);
  vcpu.get(KVM_GET_REGS, regs, "KVM_GET_REGS");
  const rip = new DataView(regs.buffer).getBigUint64(kvm_regs.at.rip, true);
  const { text, hint } = explainEmulationFailure(instruction, rip);
  return { detail: `KVM cannot emulate ${text}`, hint };
}
