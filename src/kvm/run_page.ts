/**
 * The `kvm_run` page a vCPU thread shares with KVM, decoded in place: no object per exit.
 * Owner: the vCPU's thread, except `immediateExit`, which any thread may set (one byte, before the kick).
 */
import {
  KVM_EXIT_IO_OUT,
  KVM_INTERNAL_ERROR_EMULATION,
  KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
  kvm_run,
  KVM_RUN_FAIL_ENTRY,
  KVM_RUN_INTERNAL,
  KVM_RUN_IO,
  KVM_RUN_MMIO,
  KVM_RUN_SYSTEM_EVENT,
} from "../abi/kvm.ts";

/** Typed views over one `kvm_run` mapping. */
export class RunPage {
  readonly #u8: Uint8Array;
  readonly #u32: Uint32Array;
  readonly #view: DataView;

  constructor(buffer: ArrayBuffer) {
    this.#u8 = new Uint8Array(buffer);
    this.#u32 = new Uint32Array(buffer);
    this.#view = new DataView(buffer);
  }

  #byte(offset: number): number {
    return this.#u8[offset] as number;
  }

  #word(offset: number): number {
    return this.#u32[offset >> 2] as number;
  }

  set immediateExit(value: boolean) {
    Atomics.store(this.#u8, kvm_run.at.immediate_exit, value ? 1 : 0);
  }

  get exitReason(): number {
    return this.#word(kvm_run.at.exit_reason);
  }

  // KVM_EXIT_IO
  get ioIsWrite(): boolean {
    return this.#byte(KVM_RUN_IO.direction) === KVM_EXIT_IO_OUT;
  }
  get ioSize(): number {
    return this.#byte(KVM_RUN_IO.size);
  }
  get ioPort(): number {
    return this.#byte(KVM_RUN_IO.port) | (this.#byte(KVM_RUN_IO.port + 1) << 8);
  }
  /** Items of a string instruction (`rep outsb`); 1 otherwise. */
  get ioCount(): number {
    return this.#word(KVM_RUN_IO.count);
  }
  /** Where item 0 starts in the page. */
  get ioDataOffset(): number {
    return this.#word(KVM_RUN_IO.data_offset);
  }

  // KVM_EXIT_MMIO
  get mmioAddress(): number {
    return this.#word(KVM_RUN_MMIO.phys_addr) +
      this.#word(KVM_RUN_MMIO.phys_addr + 4) * 0x1_0000_0000;
  }
  get mmioLength(): number {
    return this.#word(KVM_RUN_MMIO.len);
  }
  get mmioIsWrite(): boolean {
    return this.#byte(KVM_RUN_MMIO.is_write) !== 0;
  }
  get mmioDataOffset(): number {
    return KVM_RUN_MMIO.data;
  }

  /** 1, 2 or 4 bytes at `offset` of the page, little-endian. */
  read(offset: number, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = (value << 8) | this.#byte(offset + i);
    return value >>> 0;
  }

  write(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) this.#u8[offset + i] = value >>> (8 * i);
  }

  get systemEventType(): number {
    return this.#word(KVM_RUN_SYSTEM_EVENT.type);
  }

  get entryFailureReason(): string {
    return `0x${
      this.#view.getBigUint64(KVM_RUN_FAIL_ENTRY.hardware_entry_failure_reason, true).toString(16)
    }`;
  }

  /** KVM_EXIT_INTERNAL_ERROR: the suberror, and the instruction bytes when the emulator gave up on one. */
  internalError(): { readonly suberror: number; readonly instruction: Uint8Array } {
    const suberror = this.#word(KVM_RUN_INTERNAL.suberror);
    const ndata = this.#word(KVM_RUN_INTERNAL.ndata);
    const hasBytes = suberror === KVM_INTERNAL_ERROR_EMULATION && ndata >= 3 &&
      (this.#word(KVM_RUN_INTERNAL.flags) & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) !==
        0;
    const size = hasBytes ? Math.min(this.#byte(KVM_RUN_INTERNAL.insn_size), 15) : 0;
    const start = KVM_RUN_INTERNAL.insn_bytes;
    return { suberror, instruction: this.#u8.slice(start, start + size) };
  }
}
