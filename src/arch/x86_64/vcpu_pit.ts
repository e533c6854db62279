/**
 * The interval timer (Intel 8254) and its gate at port 0x61: KVM's, made when the guest first touches it. Most never
 * do, and what KVM waits for when it takes one down is 10 ms of the end of each process.
 */
import {
  KVM_CREATE_PIT2,
  KVM_GET_PIT2,
  kvm_pit_channel_state,
  kvm_pit_config,
  KVM_PIT_FLAGS_SPEAKER_DATA_ON,
  KVM_PIT_SPEAKER_DUMMY,
  kvm_pit_state2,
  KVM_SET_PIT2,
} from "../../abi/kvm_x86.ts";
import { checkKvm, KvmError } from "../../kvm/kvm_error.ts";
import type { FdNumber } from "../../sys/fd.ts";
import { libc } from "../../sys/libc.ts";
import { EEXIST } from "../../sys/sys_error.ts";

const CONTROL_PORT = 3; // 0x43, counted from 0x40
const CHANNELS = 3;
/** The channel whose gate and output port 0x61 has. */
const GATED_CHANNEL = 2;
const GATE = 1;
const SPEAKER_DATA = 2;

/** What KVM keeps of a PIT, to be changed. */
class PitState {
  readonly #bytes = new Uint8Array(kvm_pit_state2.size);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor(vmFd: FdNumber) {
    checkKvm(libc().ioctl_buffer(vmFd, KVM_GET_PIT2, this.#bytes), "KVM_GET_PIT2");
  }

  /** Where channel `index` starts. */
  #channel(index: number): number {
    return kvm_pit_state2.at.channels + index * kvm_pit_channel_state.size;
  }

  /** A control word: which half of the counter is accessed next, and how it counts. */
  control(value: number): void {
    const index = value >> 6;
    const access = (value >> 4) & 3;
    // A command to read back, or to latch a count: there is nothing to see before anything was set.
    if (index >= CHANNELS || access === 0) return;
    const at = this.#channel(index);
    const { rw_mode, read_state, write_state, mode, bcd } = kvm_pit_channel_state.at;
    for (const field of [rw_mode, read_state, write_state]) this.#bytes[at + field] = access;
    const wanted = (value >> 1) & 7;
    this.#bytes[at + mode] = wanted > 5 ? wanted - 4 : wanted; // 6 and 7 mean 2 and 3
    this.#bytes[at + bcd] = value & 1;
  }

  count(index: number, value: number): void {
    this.#view.setUint32(this.#channel(index) + kvm_pit_channel_state.at.count, value, true);
  }

  gate(value: number): void {
    this.#bytes[this.#channel(GATED_CHANNEL) + kvm_pit_channel_state.at.gate] = value & GATE;
    const on = (value & SPEAKER_DATA) === 0 ? 0 : KVM_PIT_FLAGS_SPEAKER_DATA_ON;
    this.#view.setUint32(kvm_pit_state2.at.flags, on, true);
  }

  store(vmFd: FdNumber): void {
    checkKvm(libc().ioctl_buffer(vmFd, KVM_SET_PIT2, this.#bytes), "KVM_SET_PIT2");
  }
}

/**
 * The first access of a guest to its timer: makes it, and has it look as it would had it been there before. From then
 * on KVM serves the ports, and none of this is called again. Two vCPUs may be the first at once. Methods throw KvmError.
 */
export class Pit {
  readonly #vmFd: FdNumber;
  /** Ports 0x40 to 0x43. */
  readonly counters = {
    read: (): number => this.#make(),
    write: (offset: number, value: number): void =>
      this.#change((state) => {
        if (offset === CONTROL_PORT) state.control(value);
        else state.count(offset, value);
      }),
  };
  /** Port 0x61. */
  readonly gate = {
    read: (): number => this.#make(),
    write: (_offset: number, value: number): void => this.#change((state) => state.gate(value)),
  };

  constructor(vmFd: FdNumber) {
    this.#vmFd = vmFd;
  }

  /** Returns what any port of a new one reads as: the low byte of a count of 65536, a gate that is closed. */
  #make(): number {
    const config = new Uint8Array(kvm_pit_config.size);
    // The speaker's port 0x61 is part of the PIT that Linux calibrates by.
    new DataView(config.buffer).setUint32(kvm_pit_config.at.flags, KVM_PIT_SPEAKER_DUMMY, true);
    try {
      checkKvm(libc().ioctl_buffer(this.#vmFd, KVM_CREATE_PIT2, config), "KVM_CREATE_PIT2");
    } catch (error) {
      if (!(error instanceof KvmError) || error.errno !== EEXIST) throw error;
    }
    return 0;
  }

  #change(by: (state: PitState) => void): void {
    this.#make();
    const state = new PitState(this.#vmFd);
    by(state);
    state.store(this.#vmFd);
  }
}
