/** A VM's descriptor: memory slots, interrupt lines, kick eventfds, and the birth of vCPUs. */
import {
  KVM_CHECK_EXTENSION,
  KVM_CREATE_VCPU,
  KVM_IOEVENTFD,
  kvm_ioeventfd,
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KVM_IOEVENTFD_FLAG_PIO,
  KVM_IRQFD,
  kvm_irqfd,
  KVM_IRQFD_FLAG_DEASSIGN,
  KVM_SET_USER_MEMORY_REGION,
  kvm_userspace_memory_region,
} from "../abi/kvm.ts";
import type { Gpa } from "../memory/guest_memory.ts";
import type { FdNumber, OwnedFd } from "../sys/fd.ts";
import { leaveInFlight } from "../sys/in_flight.ts";
import { libc } from "../sys/libc.ts";
import { checkKvm } from "./kvm_error.ts";

/** One KVM_SET_USER_MEMORY_REGION. `size` 0 removes the slot. */
export interface MemorySlot {
  readonly slot: number;
  readonly base: Gpa;
  readonly size: number;
  readonly hostAddress: number;
  readonly flags?: number;
}

/** A guest write that becomes an eventfd signal instead of an exit. */
export interface IoEvent {
  readonly fd: FdNumber;
  readonly address: number;
  readonly length: 1 | 2 | 4 | 8;
  /** Only this value counts; without it every value does. */
  readonly datamatch?: number;
  readonly space: "mmio" | "pio";
}

/** An open VM. KVM frees it when this descriptor, every vCPU's and every kvm_run mapping is gone. */
export class KvmVm implements Disposable {
  readonly #fd: OwnedFd;

  constructor(fd: OwnedFd) {
    this.#fd = fd;
  }

  get fd(): FdNumber {
    return this.#fd.number;
  }

  /** KVM_CHECK_EXTENSION asked of this VM (some answers differ from the system's). */
  checkExtension(capability: number): number {
    return checkKvm(
      libc().ioctl(this.fd, KVM_CHECK_EXTENSION, capability),
      `KVM_CHECK_EXTENSION ${capability}`,
    );
  }

  setUserMemoryRegion(slot: MemorySlot): void {
    const { bytes, view } = block(kvm_userspace_memory_region.size);
    const at = kvm_userspace_memory_region.at;
    view.setUint32(at.slot, slot.slot, true);
    view.setUint32(at.flags, slot.flags ?? 0, true);
    view.setBigUint64(at.guest_phys_addr, BigInt(slot.base), true);
    view.setBigUint64(at.memory_size, BigInt(slot.size), true);
    view.setBigUint64(at.userspace_addr, BigInt(slot.hostAddress), true);
    checkKvm(
      libc().ioctl_buffer(this.fd, KVM_SET_USER_MEMORY_REGION, bytes),
      `KVM_SET_USER_MEMORY_REGION of ${slot.size} bytes at 0x${slot.base.toString(16)}`,
    );
  }

  /** From now on a signal on `fd` is an edge on interrupt line `gsi`. */
  irqfd(fd: FdNumber, gsi: number): void {
    this.#irqfd(fd, gsi, 0);
  }

  removeIrqfd(fd: FdNumber, gsi: number): void {
    this.#irqfd(fd, gsi, KVM_IRQFD_FLAG_DEASSIGN);
  }

  #irqfd(fd: FdNumber, gsi: number, flags: number): void {
    const { bytes, view } = block(kvm_irqfd.size);
    view.setUint32(kvm_irqfd.at.fd, fd, true);
    view.setUint32(kvm_irqfd.at.gsi, gsi, true);
    view.setUint32(kvm_irqfd.at.flags, flags, true);
    checkKvm(libc().ioctl_buffer(this.fd, KVM_IRQFD, bytes), `KVM_IRQFD for line ${gsi}`);
  }

  /**
   * For a process that is about to end. KVM waits for a grace period when it takes a VM down, 4 to 20 ms after the VM was
   * made (kvm_io_bus_register_dev since Linux 6.18): it does so behind the process then.
   */
  leaveToKernel(): void {
    leaveInFlight(this.fd);
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/**
 * From now on a matching guest write signals `event.fd` and does not exit. For threads that know the VM by its
 * descriptor only.
 */
export function bindIoEventfd(vmFd: FdNumber, event: IoEvent): void {
  ioeventfd(vmFd, event, 0);
}

/** Ends `bindIoEventfd` for the same event. */
export function unbindIoEventfd(vmFd: FdNumber, event: IoEvent): void {
  ioeventfd(vmFd, event, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

function ioeventfd(vmFd: FdNumber, event: IoEvent, flags: number): void {
  const { bytes, view } = block(kvm_ioeventfd.size);
  const at = kvm_ioeventfd.at;
  if (event.space === "pio") flags |= KVM_IOEVENTFD_FLAG_PIO;
  if (event.datamatch !== undefined) {
    flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
    view.setBigUint64(at.datamatch, BigInt(event.datamatch), true);
  }
  view.setBigUint64(at.addr, BigInt(event.address), true);
  view.setUint32(at.len, event.length, true);
  view.setInt32(at.fd, event.fd, true);
  view.setUint32(at.flags, flags, true);
  checkKvm(
    libc().ioctl_buffer(vmFd, KVM_IOEVENTFD, bytes),
    `KVM_IOEVENTFD at 0x${event.address.toString(16)}`,
  );
}

/** KVM_CREATE_VCPU on a VM known by its descriptor only: vCPUs are born on the thread that runs them. */
export function createVcpuFd(vmFd: FdNumber, id: number): number {
  return checkKvm(libc().ioctl(vmFd, KVM_CREATE_VCPU, id), `KVM_CREATE_VCPU ${id}`);
}

function block(size: number): { bytes: Uint8Array<ArrayBuffer>; view: DataView } {
  const bytes = new Uint8Array(size);
  return { bytes, view: new DataView(bytes.buffer) };
}
