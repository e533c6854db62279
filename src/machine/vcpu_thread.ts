/**
 * What a vCPU is on the thread that runs it: KVM's vCPU, the buses it serves, its run loop. Made by
 * `vcpu_worker.ts` on a thread of its own, and by `local_vcpu.ts` on the control thread. Its module graph is kept
 * small: it is on the way to the guest's first instruction.
 */
import { ExitRegister } from "../../devices/legacy/exit_register.ts";
import { I8042 } from "../../devices/legacy/i8042.ts";
import { PlatformPage } from "../../devices/legacy/platform_page.ts";
import { Rtc } from "../../devices/legacy/rtc.ts";
import { SerialPort } from "../../devices/legacy/serial.ts";
import { MmioInterrupt } from "../../transports/mmio_interrupt.ts";
import { noteGuestWasPaused, Pit } from "../arch/vcpu.ts";
import { ControlBlock } from "../ipc/control_block.ts";
import { MailboxCaller } from "../ipc/mailbox.ts";
import type { VcpuExit, VcpuInit } from "../ipc/messages.ts";
import { KvmVcpu } from "../kvm/vcpu.ts";
import { signalEventfd } from "../sys/eventfd.ts";
import type { FdNumber } from "../sys/fd.ts";
import { type KickTarget, kickTarget } from "../sys/thread.ts";
import { Bus, type BusParts, type ByteRegisters } from "./bus.ts";
import { VcpuLoop } from "./vcpu_loop.ts";
import type { Window } from "./windows.ts";

/** What a vCPU asks of the thread it is on. */
export interface VcpuHost {
  /** It is out of the guest and goes to sleep (VCPU_PARKED is set). */
  parked(): void;
  /** There is work for the I/O thread in the control block. */
  wakeIo(): void;
}

/** One vCPU, run by one thread for life (hosts.md C: moving KVM_RUN between threads costs 18-23 ms a time). Holds nothing. */
export class VcpuThread {
  /** Its run loop. */
  readonly loop: VcpuLoop;
  /** The one this was made on. */
  readonly thread: KickTarget;
  readonly #vcpu: KvmVcpu;

  constructor(init: VcpuInit<readonly Window[]>, host: VcpuHost) {
    this.thread = kickTarget();
    this.#vcpu = new KvmVcpu(init.place);
    this.loop = buildLoop(this.#vcpu, init, host);
  }

  /** After a pause: lets a guest that keeps time by kvmclock know. */
  noteWasPaused(): void {
    noteGuestWasPaused(this.#vcpu);
  }
}

function buildLoop(
  vcpu: KvmVcpu,
  init: VcpuInit<readonly Window[]>,
  { parked, wakeIo }: VcpuHost,
): VcpuLoop {
  const block = new ControlBlock(init.block, init);
  let end: (exit: VcpuExit) => void = () => {};
  const exit = (status: number) => end({ kind: "exit-register", status });
  const reset = () => end({ kind: "reset" });
  const serial = new SerialPort(
    block.words,
    block.serial,
    block.serialTransmit,
    block.serialReceive,
    {
      raise: () => signalEventfd(init.serialIrqFd as FdNumber),
      wake: wakeIo,
      get stopping() {
        return block.stopping;
      },
    },
  );
  const pit = new Pit(init.vmFd as FdNumber);
  const parts: BusParts = {
    legacy: new Map<Window["kind"], ByteRegisters>([
      ["serial", serial],
      ["pit", pit.counters],
      ["pit-gate", pit.gate],
      ["keyboard", new I8042(reset)],
      ["rtc", new Rtc(() => new Date())],
      ["exit", new ExitRegister(exit)],
      ["platform", new PlatformPage({ exit, reset, powerOff: () => end({ kind: "poweroff" }) })],
    ]),
    interrupts: init.irqFds.map((fd, index) =>
      new MmioInterrupt(block.words, block.interruptStatus(index), {
        raise: () => signalEventfd(fd as FdNumber),
      })
    ),
    mirrors: init.irqFds.map((_, index) => block.mirror(index)),
    mailbox: new MailboxCaller(block, vcpu.id, wakeIo),
  };
  const loop = new VcpuLoop(
    vcpu,
    block,
    new Bus("mmio", init.windows, parts),
    new Bus("pio", init.windows, parts),
    { parked, unparked: () => noteGuestWasPaused(vcpu) },
  );
  end = (exit) => loop.end(exit);
  return loop;
}
