/** A vCPU whose exits are a list: each one fills the run page as KVM would. */
import {
  KVM_EXIT_IO,
  KVM_EXIT_IO_IN,
  KVM_EXIT_IO_OUT,
  KVM_EXIT_MMIO,
  kvm_run,
  KVM_RUN_IO,
  KVM_RUN_MMIO,
} from "../../src/abi/kvm.ts";
import { RunPage } from "../../src/kvm/run_page.ts";
import type { KvmVcpu } from "../../src/kvm/vcpu.ts";

const PAGE_BYTES = 8192;
/** Where KVM puts the data of port accesses: the page behind `kvm_run`. */
export const PIO_DATA = 4096;

/** A page of a vCPU, written from KVM's side. */
export class FakeRunPage {
  readonly buffer = new ArrayBuffer(PAGE_BYTES);
  readonly page = new RunPage(this.buffer);
  readonly view = new DataView(this.buffer);

  reason(reason: number): void {
    this.view.setUint32(kvm_run.at.exit_reason, reason, true);
  }

  bytes(offset: number, length: number): number[] {
    return [...new Uint8Array(this.buffer, offset, length)];
  }

  /** A port access of `count` items of `size` bytes; `out` is what the guest writes. */
  pio(port: number, size: number, count: number, out?: readonly number[]): void {
    this.reason(KVM_EXIT_IO);
    this.view.setUint8(KVM_RUN_IO.direction, out === undefined ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT);
    this.view.setUint8(KVM_RUN_IO.size, size);
    this.view.setUint16(KVM_RUN_IO.port, port, true);
    this.view.setUint32(KVM_RUN_IO.count, count, true);
    this.view.setBigUint64(KVM_RUN_IO.data_offset, BigInt(PIO_DATA), true);
    new Uint8Array(this.buffer, PIO_DATA).fill(0).set(out ?? []);
  }

  /** A memory access of `length` bytes; `out` is what the guest writes. */
  mmio(address: number, length: number, out?: readonly number[]): void {
    this.reason(KVM_EXIT_MMIO);
    this.view.setBigUint64(KVM_RUN_MMIO.phys_addr, BigInt(address), true);
    this.view.setUint32(KVM_RUN_MMIO.len, length, true);
    this.view.setUint8(KVM_RUN_MMIO.is_write, out === undefined ? 0 : 1);
    new Uint8Array(this.buffer, KVM_RUN_MMIO.data, 8).fill(0).set(out ?? []);
  }
}

/**
 * Runs `exits` one after the other, and like KVM none while `immediate_exit` is set. `id` is 1, so that nothing
 * works by being word 0.
 */
export function fakeVcpu(run: FakeRunPage, exits: readonly (() => void)[]): KvmVcpu {
  const left = [...exits];
  const vcpu = {
    id: 1,
    page: run.page,
    run(): boolean {
      if (run.view.getUint8(kvm_run.at.immediate_exit) !== 0) return false;
      const exit = left.shift();
      if (exit === undefined) throw new Error("The guest was entered after its last exit");
      exit();
      return true;
    },
    takeKick(): void {
      run.page.immediateExit = false;
    },
  };
  // SAFETY of the cast: the loop uses these members and, for failures we do not test here, `get`.
  return vcpu as unknown as KvmVcpu;
}
