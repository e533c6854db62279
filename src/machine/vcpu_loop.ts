/** The run loop of one vCPU: enter the guest, serve the exit, look whether to stop. Used by `vcpu_thread.ts`. */
import {
  KVM_EXIT_FAIL_ENTRY,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_INTR,
  KVM_EXIT_IO,
  KVM_EXIT_MMIO,
  KVM_EXIT_SHUTDOWN,
  KVM_EXIT_SYSTEM_EVENT,
  KVM_INTERNAL_ERROR_EMULATION,
  KVM_SYSTEM_EVENT_RESET,
  KVM_SYSTEM_EVENT_SHUTDOWN,
} from "../abi/kvm.ts";
import { describeEmulationFailure, tripleFaultWasReset } from "../arch/vcpu.ts";
import {
  type ControlBlock,
  VCPU_EXITS_MMIO,
  VCPU_EXITS_OTHER,
  VCPU_EXITS_PIO,
  VCPU_PARKED,
  VCPU_PAUSE,
  VCPU_REQUEST,
  VCPU_STOP,
} from "../ipc/control_block.ts";
import type { VcpuExit } from "../ipc/messages.ts";
import type { RunPage } from "../kvm/run_page.ts";
import type { KvmVcpu } from "../kvm/vcpu.ts";
import type { Bus } from "./bus.ts";

/** What a vCPU tells around a pause. */
export interface ParkEvents {
  /** It is out of the guest and goes to sleep. */
  parked(): void;
  /** It goes on. */
  unparked(): void;
}

export class VcpuLoop {
  readonly vcpu: KvmVcpu;
  readonly #page: RunPage;
  readonly #block: ControlBlock;
  readonly #mmio: Bus;
  readonly #pio: Bus;
  readonly #events: ParkEvents;
  readonly #request: number;
  readonly #parked: number;
  #exit: VcpuExit | undefined;
  #mmioExits = 0;
  #pioExits = 0;
  #otherExits = 0;

  constructor(vcpu: KvmVcpu, block: ControlBlock, mmio: Bus, pio: Bus, events: ParkEvents) {
    this.vcpu = vcpu;
    this.#page = vcpu.page;
    this.#block = block;
    this.#mmio = mmio;
    this.#pio = pio;
    this.#events = events;
    this.#request = block.vcpu(vcpu.id, VCPU_REQUEST);
    this.#parked = block.vcpu(vcpu.id, VCPU_PARKED);
  }

  /** For devices: the exit being served is the last one. */
  end(exit: VcpuExit): void {
    this.#exit ??= exit;
  }

  /** Runs until the guest ends, KVM gives up, or control asks. Throws KvmError. */
  run(): VcpuExit {
    for (;;) {
      // A request is stored before its kick: seen here, or its kick is still to come and ends the next round.
      this.#heedRequests();
      const exit = this.runUntilKicked();
      if (exit !== undefined) return exit;
    }
  }

  /**
   * For a thread that has other work as well: does not look at requests, and comes back with undefined at every kick
   * and every signal. Throws KvmError.
   */
  runUntilKicked(): VcpuExit | undefined {
    while (this.#exit === undefined) {
      if (!this.vcpu.run()) {
        this.vcpu.takeKick();
        if (this.#exit === undefined) return undefined;
      } else {
        this.#serve();
      }
    }
    return this.#exit;
  }

  /** Comes back when nothing more is asked, or `#exit` is set. */
  #heedRequests(): void {
    for (;;) {
      const request = Atomics.load(this.#block.words, this.#request);
      if ((request & VCPU_STOP) !== 0) return this.end({ kind: "asked" });
      if ((request & VCPU_PAUSE) === 0) return;
      this.#park(request);
    }
  }

  /** Sleeps while the request is `request`. */
  #park(request: number): void {
    const words = this.#block.words;
    Atomics.store(words, this.#parked, 1);
    this.#events.parked();
    while (Atomics.load(words, this.#request) === request) {
      Atomics.wait(words, this.#request, request);
    }
    Atomics.store(words, this.#parked, 0);
    this.#events.unparked();
  }

  #count(word: number, count: number): void {
    Atomics.store(this.#block.words, this.#block.vcpu(this.vcpu.id, word), count | 0);
  }

  #serve(): void {
    const page = this.#page;
    switch (page.exitReason) {
      case KVM_EXIT_MMIO:
        this.#count(VCPU_EXITS_MMIO, ++this.#mmioExits);
        return this.#serveMmio(page);
      case KVM_EXIT_IO:
        this.#count(VCPU_EXITS_PIO, ++this.#pioExits);
        return this.#servePio(page);
      default:
        this.#count(VCPU_EXITS_OTHER, ++this.#otherExits);
        return this.#serveOther(page);
    }
  }

  #serveMmio(page: RunPage): void {
    const address = page.mmioAddress;
    const data = page.mmioDataOffset;
    const length = page.mmioLength;
    // The bus works in 1, 2 and 4 bytes; KVM hands out up to 8, split by itself at page ends.
    for (let done = 0; done < length;) {
      const left = length - done;
      const size = left >= 4 ? 4 : left >= 2 ? 2 : 1;
      if (page.mmioIsWrite) this.#mmio.write(address + done, size, page.read(data + done, size));
      else page.write(data + done, size, this.#mmio.read(address + done, size));
      done += size;
    }
  }

  #servePio(page: RunPage): void {
    const port = page.ioPort;
    const size = page.ioSize;
    const count = page.ioCount; // more than 1 for a string instruction: unrolled here
    let data = page.ioDataOffset;
    for (let i = 0; i < count; i++, data += size) {
      if (page.ioIsWrite) this.#pio.write(port, size, page.read(data, size));
      else page.write(data, size, this.#pio.read(port, size));
    }
  }

  #serveOther(page: RunPage): void {
    switch (page.exitReason) {
      case KVM_EXIT_INTR:
        return;
      case KVM_EXIT_SHUTDOWN:
        return this.end({ kind: "triple-fault", deliberate: tripleFaultWasReset(this.vcpu) });
      case KVM_EXIT_SYSTEM_EVENT:
        return this.#serveSystemEvent(page.systemEventType);
      case KVM_EXIT_FAIL_ENTRY:
        return this.end({
          kind: "kvm-error",
          detail: `the processor refused to enter the guest (${page.entryFailureReason})`,
        });
      case KVM_EXIT_INTERNAL_ERROR: {
        const { suberror, instruction } = page.internalError();
        if (suberror === KVM_INTERNAL_ERROR_EMULATION) {
          const failure = describeEmulationFailure(this.vcpu, instruction);
          return this.end({ kind: "kvm-error", ...failure });
        }
        return this.end({ kind: "kvm-error", detail: `KVM internal error ${suberror}` });
      }
      default:
        return this.end({
          kind: "kvm-error",
          detail: `unexpected exit ${page.exitReason} from KVM`,
        });
    }
  }

  #serveSystemEvent(type: number): void {
    if (type === KVM_SYSTEM_EVENT_SHUTDOWN) return this.end({ kind: "poweroff" });
    if (type === KVM_SYSTEM_EVENT_RESET) return this.end({ kind: "reset" });
    this.end({ kind: "kvm-error", detail: `the guest reported a crash (system event ${type})` });
  }
}
