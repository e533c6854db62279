/**
 * Model-specific registers of a vCPU before its first instruction (Intel SDM vol. 4; arch/x86/include/asm/msr-index.h).
 * Used by `vcpu_setup.ts`, which hands the bytes to KVM_SET_MSRS.
 */
import { kvm_msr_entry, kvm_msrs } from "../../abi/kvm_x86.ts";
import { putU64, viewOf } from "../bytes.ts";

export interface MsrEntry {
  readonly index: number;
  readonly data: number;
}

const MSR_IA32_TSC = 0x10;
const MSR_IA32_SYSENTER_CS = 0x174;
const MSR_IA32_SYSENTER_ESP = 0x175;
const MSR_IA32_SYSENTER_EIP = 0x176;
const MSR_IA32_MISC_ENABLE = 0x1a0;
const MSR_MTRRdefType = 0x2ff;
const MSR_STAR = 0xc000_0081;
const MSR_LSTAR = 0xc000_0082;
const MSR_CSTAR = 0xc000_0083;
const MSR_SYSCALL_MASK = 0xc000_0084;
const MSR_KERNEL_GS_BASE = 0xc000_0102;

/** Bit 0: `rep movs` may move whole lines; firmware sets it, Linux only checks it. */
const MISC_ENABLE_FAST_STRING = 1;
/** Bit 11: MTRRs on. Type 6: all memory write-back; without it Linux takes all RAM for uncached. */
const MTRR_ENABLE_WRITE_BACK = 0x806;

/**
 * What firmware would leave behind.
 *
 * TSC: by a 0 that the monitor writes, KVM knows that the counters of all vCPUs belong together, and gives each the
 * offset of the first, however far apart the writes are (arch/x86/kvm/x86.c kvm_synchronize_tsc). Any other value is
 * in step only within a second; without one offset there is no master clock, and kvmclock may run backwards from one
 * vCPU to the next.
 */
export const BOOT_MSRS: readonly MsrEntry[] = [
  { index: MSR_IA32_SYSENTER_CS, data: 0 },
  { index: MSR_IA32_SYSENTER_ESP, data: 0 },
  { index: MSR_IA32_SYSENTER_EIP, data: 0 },
  { index: MSR_STAR, data: 0 },
  { index: MSR_LSTAR, data: 0 },
  { index: MSR_CSTAR, data: 0 },
  { index: MSR_SYSCALL_MASK, data: 0 },
  { index: MSR_KERNEL_GS_BASE, data: 0 },
  { index: MSR_IA32_MISC_ENABLE, data: MISC_ENABLE_FAST_STRING },
  { index: MSR_MTRRdefType, data: MTRR_ENABLE_WRITE_BACK },
  { index: MSR_IA32_TSC, data: 0 },
];

/** `struct kvm_msrs` with `entries` behind it, as KVM_SET_MSRS wants it. */
export function encodeMsrs(entries: readonly MsrEntry[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(kvm_msrs.size + entries.length * kvm_msr_entry.size);
  const view = viewOf(bytes);
  view.setUint32(kvm_msrs.at.nmsrs, entries.length, true);
  entries.forEach(({ index, data }, i) => {
    const at = kvm_msrs.size + i * kvm_msr_entry.size;
    view.setUint32(at + kvm_msr_entry.at.index, index, true);
    putU64(view, at + kvm_msr_entry.at.data, data);
  });
  return bytes;
}
