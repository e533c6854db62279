/**
 * Turns the boot state into the bytes KVM's vCPU ioctls take. Used by `vcpu_setup.ts`; only the boot processor gets
 * registers, the others wait for the kernel's SIPI with what KVM gave them.
 */
import {
  kvm_dtable,
  kvm_fpu,
  kvm_lapic_state,
  kvm_regs,
  kvm_segment,
  kvm_sregs,
} from "../../abi/kvm_x86.ts";
import { putU64, viewOf } from "../bytes.ts";
import type { X86BootState, X86Segment } from "./boot_state.ts";

/** After FNINIT: all exceptions masked, extended precision (SDM vol. 1, 8.1.5). */
const FCW_DEFAULT = 0x37f;
/** After reset: all SSE exceptions masked (SDM vol. 1, 10.2.3). */
const MXCSR_DEFAULT = 0x1f80;

// Local APIC registers and delivery modes (SDM vol. 3, 11.4.1 and 11.5.1).
const APIC_LVT0 = 0x350;
const APIC_LVT1 = 0x360;
const APIC_MODE_EXTINT = 0x700;
const APIC_MODE_NMI = 0x400;

/** `struct kvm_regs` for KVM_SET_REGS. */
export function encodeRegs(state: X86BootState): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(kvm_regs.size);
  const view = viewOf(bytes);
  putU64(view, kvm_regs.at.rip, state.regs.rip);
  putU64(view, kvm_regs.at.rsi, state.regs.rsi);
  putU64(view, kvm_regs.at.rbx, state.regs.rbx);
  putU64(view, kvm_regs.at.rflags, state.regs.rflags);
  return bytes;
}

/** Edits what KVM_GET_SREGS returned, for KVM_SET_SREGS; what the state does not name (apic_base, cr8) stays. */
export function applySregs(current: Uint8Array, state: X86BootState): void {
  const view = viewOf(current);
  const { at } = kvm_sregs;
  const { sregs } = state;
  putSegment(view, at.cs, sregs.code);
  for (const offset of [at.ds, at.es, at.fs, at.gs, at.ss]) putSegment(view, offset, sregs.data);
  putSegment(view, at.tr, sregs.task);
  putTable(view, at.gdt, sregs.gdt);
  putTable(view, at.idt, sregs.idt);
  putU64(view, at.cr0, sregs.cr0);
  putU64(view, at.cr3, sregs.cr3);
  putU64(view, at.cr4, sregs.cr4);
  putU64(view, at.efer, sregs.efer);
}

/** `struct kvm_fpu` for KVM_SET_FPU, as after reset and FNINIT. */
export function encodeFpu(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(kvm_fpu.size);
  const view = viewOf(bytes);
  view.setUint16(kvm_fpu.at.fcw, FCW_DEFAULT, true);
  view.setUint32(kvm_fpu.at.mxcsr, MXCSR_DEFAULT, true);
  return bytes;
}

/**
 * Edits what KVM_GET_LAPIC returned: LINT0 takes the 8259's interrupts (virtual wire mode, MP specification 3.6.2.2),
 * LINT1 is NMI, neither masked. Kernels without an IOAPIC depend on it.
 */
export function applyLapic(page: Uint8Array): void {
  const view = viewOf(page);
  view.setUint32(kvm_lapic_state.at.regs + APIC_LVT0, APIC_MODE_EXTINT, true);
  view.setUint32(kvm_lapic_state.at.regs + APIC_LVT1, APIC_MODE_NMI, true);
}

function putSegment(view: DataView, offset: number, segment: X86Segment): void {
  const { at } = kvm_segment;
  putU64(view, offset + at.base, segment.base);
  view.setUint32(offset + at.limit, segment.limit, true);
  view.setUint16(offset + at.selector, segment.selector, true);
  view.setUint8(offset + at.type, segment.type);
  view.setUint8(offset + at.present, 1);
  view.setUint8(offset + at.dpl, 0);
  view.setUint8(offset + at.db, segment.db);
  view.setUint8(offset + at.s, segment.s);
  view.setUint8(offset + at.l, segment.l);
  view.setUint8(offset + at.g, segment.g);
  view.setUint8(offset + at.avl, 0);
  view.setUint8(offset + at.unusable, 0);
}

function putTable(view: DataView, offset: number, table: { base: number; limit: number }): void {
  putU64(view, offset + kvm_dtable.at.base, table.base);
  view.setUint16(offset + kvm_dtable.at.limit, table.limit, true);
}
