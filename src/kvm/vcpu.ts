/**
 * A vCPU: made, and let go of, by the control thread (`OwnedVcpu`); run by one thread for life (`KvmVcpu`; hosts.md C:
 * moving KVM_RUN between threads costs 18-23 ms a time). Before its first run it is the control thread's to set up, from
 * then on only the other one touches it, but for the kick.
 */
import {
  KVM_GET_MP_STATE,
  kvm_mp_state,
  KVM_RUN,
  KVM_SET_MP_STATE,
  KVM_SET_SIGNAL_MASK,
  kvm_signal_mask,
} from "../abi/kvm.ts";
import { type FdNumber, OwnedFd } from "../sys/fd.ts";
import { errno, type Libc, libc } from "../sys/libc.ts";
import { bytesAt, Mapping } from "../sys/mmap.ts";
import { EAGAIN, EINTR } from "../sys/sys_error.ts";
import { drainKickSignal } from "../sys/thread.ts";
import { checkKvm, KvmError } from "./kvm_error.ts";
import { RunPage } from "./run_page.ts";
import { createVcpuFd } from "./vm.ts";

/** Entries into the guest before the call is bound, which takes as long as some 500 calls by its address. */
const COLD_ENTRIES = 500;

/** Where a vCPU is in this process, as plain data for the thread that runs it. Valid until its owner lets go of it. */
export interface VcpuPlace {
  readonly id: number;
  readonly fd: number;
  readonly runPageAddress: number;
  /** `KvmSystem.vcpuMmapSize()`. */
  readonly runPageBytes: number;
}

/** The descriptor and the run page of a vCPU. Disposed when the thread that runs it has left its loop, or is gone. */
export class OwnedVcpu implements Disposable {
  /** For the thread that runs it. */
  readonly place: VcpuPlace;
  /** For this one. */
  readonly vcpu: KvmVcpu;
  readonly #fd: OwnedFd;
  readonly #mapping: Mapping;

  /** `mmapSize` is `KvmSystem.vcpuMmapSize()`. Throws KvmError and SysError; nothing is left behind then. */
  constructor(vmFd: FdNumber, id: number, mmapSize: number) {
    this.#fd = new OwnedFd(createVcpuFd(vmFd, id));
    try {
      this.#mapping = Mapping.shared(this.#fd.number, mmapSize, 0, `kvm_run of vCPU ${id}`);
    } catch (error) {
      this.#fd.close();
      throw error;
    }
    const runPageAddress = this.#mapping.address;
    this.place = { id, fd: this.#fd.number, runPageAddress, runPageBytes: mmapSize };
    this.vcpu = new KvmVcpu(this.place);
  }

  [Symbol.dispose](): void {
    this.#mapping.unmap();
    this.#fd.close();
  }
}

/** A vCPU in the hands of one thread. */
export class KvmVcpu {
  readonly id: number;
  readonly fd: FdNumber;
  readonly page: RunPage;
  #coldEntries = COLD_ENTRIES;
  /** KVM_RUN, bound; undefined while it is cold. */
  #enter: Libc["ioctl_run"] | undefined;

  constructor({ id, fd, runPageAddress, runPageBytes }: VcpuPlace) {
    this.id = id;
    this.fd = fd as FdNumber;
    this.page = new RunPage(bytesAt(runPageAddress, runPageBytes));
  }

  /**
   * Runs the guest until an exit (true) or a kick (false); with a kick, the access of the exit before it has been
   * completed. False as well (EAGAIN) when a processor that waits for its start was sent INIT or SIPI: to be entered
   * again. The one ioctl that must not be retried on EINTR: with `immediate_exit` set that would spin for ever.
   * Throws KvmError on anything else.
   */
  run(): boolean {
    const enter = this.#enter;
    const result = enter === undefined ? this.#enterCold() : enter(this.fd, KVM_RUN, 0);
    if (result === 0) return true;
    const number = errno();
    if (number === EINTR || number === EAGAIN) return false;
    throw new KvmError(`KVM_RUN of vCPU ${this.id}`, number);
  }

  #enterCold(): number {
    if (--this.#coldEntries === 0) this.#enter = libc().ioctl_run;
    return libc().ioctl(this.fd, KVM_RUN, 0);
  }

  /** After `run` said false: takes back what the kick has set. Look for requests after this, not before. */
  takeKick(): void {
    this.page.immediateExit = false;
    drainKickSignal();
  }

  /** Lets every signal through while inside KVM_RUN, though the thread that runs it blocks the kick signal outside. */
  unblockSignalsInRun(): void {
    const bytes = new Uint8Array(kvm_signal_mask.size + 8);
    new DataView(bytes.buffer).setUint32(kvm_signal_mask.at.len, 8, true);
    this.set(KVM_SET_SIGNAL_MASK, bytes, "KVM_SET_SIGNAL_MASK");
  }

  get mpState(): number {
    const bytes = new Uint8Array(kvm_mp_state.size);
    this.get(KVM_GET_MP_STATE, bytes, "KVM_GET_MP_STATE");
    return new DataView(bytes.buffer).getUint32(0, true);
  }

  set mpState(value: number) {
    const bytes = new Uint8Array(kvm_mp_state.size);
    new DataView(bytes.buffer).setUint32(0, value, true);
    this.set(KVM_SET_MP_STATE, bytes, "KVM_SET_MP_STATE");
  }

  /** A KVM_GET_* ioctl that fills `bytes`. Returns what the ioctl returned. */
  get(request: number, bytes: Uint8Array<ArrayBuffer>, name: string): number {
    return checkKvm(libc().ioctl_buffer(this.fd, request, bytes), `${name} of vCPU ${this.id}`);
  }

  /** A KVM_SET_* ioctl that reads `bytes`. Returns what the ioctl returned. */
  set(request: number, bytes: Uint8Array<ArrayBuffer>, name: string): number {
    return this.get(request, bytes, name);
  }
}
