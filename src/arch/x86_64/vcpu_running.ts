/** An x86 vCPU's state through KVM once it has run: on the thread that runs it. */
import {
  KVM_GET_REGS,
  KVM_GET_SREGS,
  KVM_KVMCLOCK_CTRL,
  kvm_regs,
  kvm_sregs,
} from "../../abi/kvm_x86.ts";
import { KvmError } from "../../kvm/kvm_error.ts";
import type { KvmVcpu } from "../../kvm/vcpu.ts";
import { errno, libc } from "../../sys/libc.ts";
import { EINVAL } from "../../sys/sys_error.ts";
import { explainEmulationFailure } from "./explain.ts";

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
