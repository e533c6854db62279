/** /dev/kvm itself: version, capabilities, and the birth of VMs. */
import { O_RDWR } from "../abi/linux.ts";
import {
  KVM_API_VERSION,
  KVM_CAP_MAX_VCPU_ID,
  KVM_CAP_MAX_VCPUS,
  KVM_CAP_NR_VCPUS,
  KVM_CHECK_EXTENSION,
  KVM_CREATE_VM,
  KVM_GET_API_VERSION,
  KVM_GET_VCPU_MMAP_SIZE,
} from "../abi/kvm.ts";
import { type FdNumber, openFile, OwnedFd } from "../sys/fd.ts";
import { libc } from "../sys/libc.ts";
import { SysError } from "../sys/sys_error.ts";
import { checkKvm, KvmError } from "./kvm_error.ts";
import { KvmVm } from "./vm.ts";

export const KVM_DEVICE = "/dev/kvm";

/** Documentation/virt/kvm/api.rst 4.7: what holds when no capability says more. */
const UNSAID_VCPUS = 4;

/** An open /dev/kvm. */
export class KvmSystem implements Disposable {
  readonly #fd: OwnedFd;

  private constructor(fd: OwnedFd) {
    this.#fd = fd;
  }

  /** Opens `path` and checks the API version. Throws KvmError with code KVM_<errno name> and a hint. */
  static open(path: string = KVM_DEVICE): KvmSystem {
    const system = new KvmSystem(openDevice(path));
    const version = libc().ioctl(system.#fd.number, KVM_GET_API_VERSION, 0);
    if (version !== KVM_API_VERSION) {
      system.#fd.close();
      throw new KvmError(`open ${path}`, version < 0 ? 25 : 22);
    }
    return system;
  }

  get fd(): FdNumber {
    return this.#fd.number;
  }

  /** KVM_CHECK_EXTENSION: 0 when `capability` is missing, else 1 or a number whose meaning it defines. */
  checkExtension(capability: number): number {
    return checkKvm(
      libc().ioctl(this.#fd.number, KVM_CHECK_EXTENSION, capability),
      `KVM_CHECK_EXTENSION ${capability}`,
    );
  }

  /** Bytes of a vCPU's shared `kvm_run` mapping. */
  vcpuMmapSize(): number {
    return checkKvm(
      libc().ioctl(this.#fd.number, KVM_GET_VCPU_MMAP_SIZE, 0),
      "KVM_GET_VCPU_MMAP_SIZE",
    );
  }

  /** The most vCPUs of one VM, ids counted from 0. */
  maxVcpus(): number {
    return vcpuLimit((capability) => this.checkExtension(capability));
  }

  createVm(): KvmVm {
    // Type 0: the default for the machine (x86: ordinary VM; arm64: 40-bit addresses).
    const fd = checkKvm(libc().ioctl(this.#fd.number, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    return new KvmVm(new OwnedFd(fd));
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/**
 * `maxVcpus` from what KVM_CHECK_EXTENSION answers (api.rst 4.7 says what holds where a capability is missing).
 * KVM_CAP_NR_VCPUS is a recommendation, the host's number of processors: a limit only where there is no other.
 */
export function vcpuLimit(extension: (capability: number) => number): number {
  const most = extension(KVM_CAP_MAX_VCPUS) || extension(KVM_CAP_NR_VCPUS) || UNSAID_VCPUS;
  return Math.min(most, extension(KVM_CAP_MAX_VCPU_ID) || most);
}

function openDevice(path: string): OwnedFd {
  try {
    return openFile(path, O_RDWR);
  } catch (error) {
    if (error instanceof SysError) throw new KvmError(`open ${path}`, error.errno);
    throw error;
  }
}
