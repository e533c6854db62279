/**
 * KVM's x86 numbers and layouts (arch/x86/include/uapi/asm/kvm.h, include/uapi/linux/kvm.h).
 * Used by `src/arch/x86_64` only.
 */
import { array, io, ior, iow, iowr, struct, u16, u32, u64, u8 } from "./struct.ts";
import { KVMIO } from "./kvm.ts";

export const kvm_regs = struct("struct kvm_regs", {
  rax: u64,
  rbx: u64,
  rcx: u64,
  rdx: u64,
  rsi: u64,
  rdi: u64,
  rsp: u64,
  rbp: u64,
  r8: u64,
  r9: u64,
  r10: u64,
  r11: u64,
  r12: u64,
  r13: u64,
  r14: u64,
  r15: u64,
  rip: u64,
  rflags: u64,
});

export const kvm_segment = struct("struct kvm_segment", {
  base: u64,
  limit: u32,
  selector: u16,
  type: u8,
  present: u8,
  dpl: u8,
  db: u8,
  s: u8,
  l: u8,
  g: u8,
  avl: u8,
  unusable: u8,
  padding: u8,
});

export const kvm_dtable = struct("struct kvm_dtable", {
  base: u64,
  limit: u16,
  padding: array(u16, 3),
});

export const kvm_sregs = struct("struct kvm_sregs", {
  cs: kvm_segment,
  ds: kvm_segment,
  es: kvm_segment,
  fs: kvm_segment,
  gs: kvm_segment,
  ss: kvm_segment,
  tr: kvm_segment,
  ldt: kvm_segment,
  gdt: kvm_dtable,
  idt: kvm_dtable,
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  cr8: u64,
  efer: u64,
  apic_base: u64,
  interrupt_bitmap: array(u64, 4),
});

export const kvm_fpu = struct("struct kvm_fpu", {
  fpr: array(u8, 128),
  fcw: u16,
  fsw: u16,
  ftwx: u8,
  pad1: u8,
  last_opcode: u16,
  last_ip: u64,
  last_dp: u64,
  xmm: array(u8, 256),
  mxcsr: u32,
  pad2: u32,
});

export const kvm_msr_entry = struct("struct kvm_msr_entry", {
  index: u32,
  reserved: u32,
  data: u64,
});
/** The head; `nmsrs` entries of `kvm_msr_entry` follow. */
export const kvm_msrs = struct("struct kvm_msrs", { nmsrs: u32, pad: u32 });

export const kvm_cpuid_entry2 = struct("struct kvm_cpuid_entry2", {
  function: u32,
  index: u32,
  flags: u32,
  eax: u32,
  ebx: u32,
  ecx: u32,
  edx: u32,
  padding: array(u32, 3),
});
/** The head; `nent` entries of `kvm_cpuid_entry2` follow. */
export const kvm_cpuid2 = struct("struct kvm_cpuid2", { nent: u32, padding: u32 });
export const KVM_CPUID_FLAG_SIGNIFCANT_INDEX = 1;

export const kvm_lapic_state = struct("struct kvm_lapic_state", { regs: array(u8, 1024) });

export const kvm_pic_state = struct("struct kvm_pic_state", {
  last_irr: u8,
  irr: u8,
  imr: u8,
  isr: u8,
  priority_add: u8,
  irq_base: u8,
  read_reg_select: u8,
  poll: u8,
  special_mask: u8,
  init_state: u8,
  auto_eoi: u8,
  rotate_on_auto_eoi: u8,
  special_fully_nested_mode: u8,
  init4: u8,
  elcr: u8,
  elcr_mask: u8,
});
/** `chip` is a union: `kvm_pic_state` for the two PICs. */
export const kvm_irqchip = struct("struct kvm_irqchip", {
  chip_id: u32,
  pad: u32,
  chip: array(u64, 64),
});
export const KVM_IRQCHIP_PIC_MASTER = 0;
export const KVM_IRQCHIP_PIC_SLAVE = 1;

export const kvm_pit_config = struct("struct kvm_pit_config", { flags: u32, pad: array(u32, 15) });
export const KVM_PIT_SPEAKER_DUMMY = 1;

export const kvm_pit_channel_state = struct("struct kvm_pit_channel_state", {
  count: u32, // can be 65536
  latched_count: u16,
  count_latched: u8,
  status_latched: u8,
  status: u8,
  read_state: u8,
  write_state: u8,
  write_latch: u8,
  rw_mode: u8,
  mode: u8,
  bcd: u8,
  gate: u8,
  count_load_time: u64,
});
export const kvm_pit_state2 = struct("struct kvm_pit_state2", {
  channels: array(kvm_pit_channel_state, 3),
  flags: u32,
  reserved: array(u32, 9),
});
export const KVM_PIT_FLAGS_SPEAKER_DATA_ON = 2;

export const KVM_GET_SUPPORTED_CPUID = iowr(KVMIO, 0x05, kvm_cpuid2);
export const KVM_SET_TSS_ADDR = io(KVMIO, 0x47);
export const KVM_SET_IDENTITY_MAP_ADDR = iow(KVMIO, 0x48, u64);
export const KVM_GET_IRQCHIP = iowr(KVMIO, 0x62, kvm_irqchip);
export const KVM_SET_IRQCHIP = ior(KVMIO, 0x63, kvm_irqchip);
export const KVM_CREATE_PIT2 = iow(KVMIO, 0x77, kvm_pit_config);
export const KVM_GET_REGS = ior(KVMIO, 0x81, kvm_regs);
export const KVM_SET_REGS = iow(KVMIO, 0x82, kvm_regs);
export const KVM_GET_SREGS = ior(KVMIO, 0x83, kvm_sregs);
export const KVM_SET_SREGS = iow(KVMIO, 0x84, kvm_sregs);
export const KVM_GET_MSRS = iowr(KVMIO, 0x88, kvm_msrs);
export const KVM_SET_MSRS = iow(KVMIO, 0x89, kvm_msrs);
export const KVM_SET_FPU = iow(KVMIO, 0x8d, kvm_fpu);
export const KVM_GET_LAPIC = ior(KVMIO, 0x8e, kvm_lapic_state);
export const KVM_SET_LAPIC = iow(KVMIO, 0x8f, kvm_lapic_state);
export const KVM_SET_CPUID2 = iow(KVMIO, 0x90, kvm_cpuid2);
export const KVM_GET_PIT2 = ior(KVMIO, 0x9f, kvm_pit_state2);
export const KVM_SET_PIT2 = iow(KVMIO, 0xa0, kvm_pit_state2);
export const KVM_KVMCLOCK_CTRL = io(KVMIO, 0xad);

export const KVM_CAP_SET_TSS_ADDR = 4;
export const KVM_CAP_EXT_CPUID = 7;
export const KVM_CAP_PIT2 = 33;
export const KVM_CAP_TSC_DEADLINE_TIMER = 72;
