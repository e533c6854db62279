/**
 * A vCPU's thread: makes the vCPU, runs it, serves its exits. Nothing else happens in this isolate; between
 * `start` and the end it does not return to the JavaScript event loop. Its module graph is kept small: it is on
 * the way to the guest's first instruction.
 */
/// <reference lib="deno.worker" />
import { ExitRegister } from "../../devices/legacy/exit_register.ts";
import { I8042 } from "../../devices/legacy/i8042.ts";
import { PlatformPage } from "../../devices/legacy/platform_page.ts";
import { Rtc } from "../../devices/legacy/rtc.ts";
import { SerialPort } from "../../devices/legacy/serial.ts";
import { MmioInterrupt } from "../../transports/mmio_interrupt.ts";
import { type BootState, configureVcpu, loadBootState, noteGuestWasPaused } from "../arch/vcpu.ts";
import { ControlBlock } from "../ipc/control_block.ts";
import { MailboxCaller } from "../ipc/mailbox.ts";
import {
  plainError,
  type VcpuExit,
  type VcpuInit,
  type VcpuOrder,
  type VcpuReport,
} from "../ipc/messages.ts";
import { KvmVcpu } from "../kvm/vcpu.ts";
import { signalEventfd } from "../sys/eventfd.ts";
import type { FdNumber } from "../sys/fd.ts";
import { blockKickSignal, threadId } from "../sys/thread.ts";
import { Bus, type BusParts, type ByteRegisters } from "./bus.ts";
import { VcpuLoop } from "./vcpu_loop.ts";
import type { Window } from "./windows.ts";

declare const self: DedicatedWorkerGlobalScope;

let loop: VcpuLoop | undefined;

function report(message: VcpuReport): void {
  self.postMessage(message);
}

self.onmessage = (event: MessageEvent<VcpuOrder<readonly Window[], BootState>>) => {
  try {
    switch (event.data.type) {
      case "init":
        return initialise(event.data);
      case "start":
        return loop === undefined ? undefined : start(loop, event.data.state);
      case "leave": // control kicks no more: until now it could write to the run page at any time
        loop?.vcpu[Symbol.dispose]();
        return report({ type: "left" });
    }
  } catch (error) {
    report({ type: "failed", error: plainError(error) });
  }
};

function initialise(init: VcpuInit<readonly Window[]>): void {
  blockKickSignal();
  const vcpu = new KvmVcpu(init.vmFd as FdNumber, init.id, init.mmapSize);
  try {
    vcpu.unblockSignalsInRun();
    configureVcpu(vcpu, init.kvmFd as FdNumber, init.vcpus);
    loop = buildLoop(vcpu, init);
  } catch (error) {
    vcpu[Symbol.dispose]();
    throw error;
  }
  report({ type: "ready", threadId: threadId(), runPageAddress: vcpu.runPageAddress });
}

function start(running: VcpuLoop, state: BootState | undefined): void {
  if (state !== undefined) loadBootState(running.vcpu, state);
  const startedAt = performance.timeOrigin + performance.now();
  report({ type: "exited", exit: running.run(), startedAt });
}

function buildLoop(vcpu: KvmVcpu, init: VcpuInit<readonly Window[]>): VcpuLoop {
  const block = new ControlBlock(init.block, init);
  const wake = () => signalEventfd(init.ioWakeFd as FdNumber);
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
      wake,
      get stopping() {
        return block.stopping;
      },
    },
  );
  const parts: BusParts = {
    legacy: new Map<Window["kind"], ByteRegisters>([
      ["serial", serial],
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
    mailbox: new MailboxCaller(block, init.id, wake),
  };
  const loop = new VcpuLoop(
    vcpu,
    block,
    new Bus("mmio", init.windows, parts),
    new Bus("pio", init.windows, parts),
    { parked: () => report({ type: "parked" }), unparked: () => noteGuestWasPaused(vcpu) },
  );
  end = (exit) => loop.end(exit);
  return loop;
}
