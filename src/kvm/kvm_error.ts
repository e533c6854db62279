/** A KVM ioctl failed: which one, the errno in words, and what to do about it. */
import { errno } from "../sys/libc.ts";
import { errnoName, errnoWords } from "../sys/sys_error.ts";

const OPEN_HINTS: Readonly<Record<string, string>> = {
  ENOENT:
    "this host offers no KVM: load kvm_intel or kvm_amd, switch virtualization on in the firmware, " +
    "or, inside a VM, allow nested virtualization",
  EACCES: "join the group that owns it: sudo usermod -aG kvm $USER, then log in again",
  EPERM:
    "a container or sandbox forbids it: pass the device through, for example --device /dev/kvm",
  ENODEV: "the KVM module found no usable processor: see `dmesg | grep -i kvm`",
  ENOTTY: "that file is not the KVM device: /dev/kvm is",
  ENXIO: "the KVM module found no usable processor: see `dmesg | grep -i kvm`",
};

const IOCTL_HINTS: Readonly<Record<string, string>> = {
  "KVM_CREATE_VM:ENOMEM": "the host is out of memory or over its limit of VMs",
  "KVM_CREATE_VM:EBUSY":
    "another hypervisor (VirtualBox, VMware) holds the processor: stop its VMs",
  "KVM_CREATE_VCPU:EINVAL": "more vCPUs than this host's KVM allows: see `dinovisor doctor`",
  "KVM_SET_USER_MEMORY_REGION:ENOMEM": "give the machine less memory with --mem",
  "KVM_IRQFD:EMFILE": "raise the limit of open files: ulimit -n 4096",
};

/** Thrown by everything in `src/kvm`. `code` is stable: "KVM_EACCES" for opening, else "KVM_IOCTL". */
export class KvmError extends Error {
  override readonly name = "KvmError";
  readonly code: string;
  readonly hint?: string;

  constructor(readonly call: string, readonly errno: number) {
    const name = errnoName(errno);
    const opening = call.startsWith("open ");
    super(
      opening
        ? `cannot ${call}: ${errnoWords(errno)}`
        : `${call} failed: ${errnoWords(errno)} (${name})`,
    );
    this.code = opening ? `KVM_${name}` : "KVM_IOCTL";
    const hint = opening ? OPEN_HINTS[name] : IOCTL_HINTS[`${call.split(" ")[0]}:${name}`];
    if (hint !== undefined) this.hint = hint;
  }
}

/** Returns `result` unless it is negative, in which case errno becomes a KvmError about `call`. */
export function checkKvm(result: number, call: string): number {
  if (result < 0) throw new KvmError(call, errno());
  return result;
}
