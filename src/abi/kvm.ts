/**
 * KVM's architecture-independent numbers and layouts (include/uapi/linux/kvm.h).
 * Used by `src/kvm`; the x86 half is `kvm_x86.ts`.
 */
import { array, i32, io, ior, iow, struct, u16, u32, u64, u8 } from "./struct.ts";

export const KVMIO = 0xae;
export const KVM_API_VERSION = 12;

export const kvm_userspace_memory_region = struct("struct kvm_userspace_memory_region", {
  slot: u32,
  flags: u32,
  guest_phys_addr: u64,
  memory_size: u64,
  userspace_addr: u64,
});
export const KVM_MEM_LOG_DIRTY_PAGES = 1;
export const KVM_MEM_READONLY = 2;

export const kvm_irqfd = struct("struct kvm_irqfd", {
  fd: u32,
  gsi: u32,
  flags: u32,
  resamplefd: u32,
  pad: array(u8, 16),
});
export const KVM_IRQFD_FLAG_DEASSIGN = 1;

export const kvm_ioeventfd = struct("struct kvm_ioeventfd", {
  datamatch: u64,
  addr: u64,
  len: u32,
  fd: i32,
  flags: u32,
  pad: array(u8, 36),
});
export const KVM_IOEVENTFD_FLAG_DATAMATCH = 1;
export const KVM_IOEVENTFD_FLAG_PIO = 2;
export const KVM_IOEVENTFD_FLAG_DEASSIGN = 4;

/** The fixed head of `struct kvm_signal_mask`; `sigset` follows, 8 bytes for the kernel. */
export const kvm_signal_mask = struct("struct kvm_signal_mask", { len: u32 });

export const kvm_mp_state = struct("struct kvm_mp_state", { mp_state: u32 });
export const KVM_MP_STATE_RUNNABLE = 0;
export const KVM_MP_STATE_UNINITIALIZED = 1;
export const KVM_MP_STATE_HALTED = 3;

/**
 * The head of the shared `kvm_run` page up to its union, then the arms we read.
 * Arms start at `KVM_RUN_UNION`.
 */
export const kvm_run = struct("struct kvm_run", {
  request_interrupt_window: u8,
  immediate_exit: u8,
  padding1: array(u8, 6),
  exit_reason: u32,
  ready_for_interrupt_injection: u8,
  if_flag: u8,
  flags: u16,
  cr8: u64,
  apic_base: u64,
});
export const KVM_RUN_UNION = 32;
/** `kvm_run.io`, offsets inside the page. */
export const KVM_RUN_IO = {
  direction: KVM_RUN_UNION,
  size: KVM_RUN_UNION + 1,
  port: KVM_RUN_UNION + 2,
  count: KVM_RUN_UNION + 4,
  data_offset: KVM_RUN_UNION + 8,
} as const;
/** `kvm_run.mmio`. */
export const KVM_RUN_MMIO = {
  phys_addr: KVM_RUN_UNION,
  data: KVM_RUN_UNION + 8,
  len: KVM_RUN_UNION + 16,
  is_write: KVM_RUN_UNION + 20,
} as const;
/** `kvm_run.fail_entry`. */
export const KVM_RUN_FAIL_ENTRY = {
  hardware_entry_failure_reason: KVM_RUN_UNION,
  cpu: KVM_RUN_UNION + 8,
} as const;
/** `kvm_run.internal` and `kvm_run.emulation_failure` (same place). */
export const KVM_RUN_INTERNAL = {
  suberror: KVM_RUN_UNION,
  ndata: KVM_RUN_UNION + 4,
  data: KVM_RUN_UNION + 8,
  flags: KVM_RUN_UNION + 8,
  insn_size: KVM_RUN_UNION + 16,
  insn_bytes: KVM_RUN_UNION + 17,
} as const;
/** `kvm_run.system_event`. */
export const KVM_RUN_SYSTEM_EVENT = {
  type: KVM_RUN_UNION,
  ndata: KVM_RUN_UNION + 4,
} as const;

export const KVM_EXIT_UNKNOWN = 0;
export const KVM_EXIT_IO = 2;
export const KVM_EXIT_HLT = 5;
export const KVM_EXIT_MMIO = 6;
export const KVM_EXIT_SHUTDOWN = 8;
export const KVM_EXIT_FAIL_ENTRY = 9;
export const KVM_EXIT_INTR = 10;
export const KVM_EXIT_INTERNAL_ERROR = 17;
export const KVM_EXIT_SYSTEM_EVENT = 24;
export const KVM_EXIT_IO_IN = 0;
export const KVM_EXIT_IO_OUT = 1;
export const KVM_INTERNAL_ERROR_EMULATION = 1;
export const KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES = 1;
export const KVM_SYSTEM_EVENT_SHUTDOWN = 1;
export const KVM_SYSTEM_EVENT_RESET = 2;
export const KVM_SYSTEM_EVENT_CRASH = 3;

// System ioctls.
export const KVM_GET_API_VERSION = io(KVMIO, 0x00);
export const KVM_CREATE_VM = io(KVMIO, 0x01);
export const KVM_CHECK_EXTENSION = io(KVMIO, 0x03);
export const KVM_GET_VCPU_MMAP_SIZE = io(KVMIO, 0x04);
// VM ioctls.
export const KVM_CREATE_VCPU = io(KVMIO, 0x41);
export const KVM_SET_USER_MEMORY_REGION = iow(KVMIO, 0x46, kvm_userspace_memory_region);
export const KVM_CREATE_IRQCHIP = io(KVMIO, 0x60);
export const KVM_IRQFD = iow(KVMIO, 0x76, kvm_irqfd);
export const KVM_IOEVENTFD = iow(KVMIO, 0x79, kvm_ioeventfd);
// vCPU ioctls.
export const KVM_RUN = io(KVMIO, 0x80);
export const KVM_SET_SIGNAL_MASK = iow(KVMIO, 0x8b, kvm_signal_mask);
export const KVM_GET_MP_STATE = ior(KVMIO, 0x98, kvm_mp_state);
export const KVM_SET_MP_STATE = iow(KVMIO, 0x99, kvm_mp_state);

// Capabilities for KVM_CHECK_EXTENSION.
export const KVM_CAP_IRQCHIP = 0;
export const KVM_CAP_NR_VCPUS = 9;
export const KVM_CAP_NR_MEMSLOTS = 10;
export const KVM_CAP_IRQFD = 32;
export const KVM_CAP_IOEVENTFD = 36;
export const KVM_CAP_MAX_VCPUS = 66;
export const KVM_CAP_READONLY_MEM = 81;
export const KVM_CAP_CHECK_EXTENSION_VM = 105;
export const KVM_CAP_MAX_VCPU_ID = 128;
export const KVM_CAP_IMMEDIATE_EXIT = 136;
