/**
 * The worker of a vCPU: a `VcpuThread` and the messages about it. Between `start` and the end it does not return to
 * the JavaScript event loop.
 */
/// <reference lib="deno.worker" />
import type { BootState } from "../arch/vcpu.ts";
import { ControlBlock, REPORTS } from "../ipc/control_block.ts";
import { plainError, type VcpuInit, type VcpuOrder, type VcpuReport } from "../ipc/messages.ts";
import { signalEventfd } from "../sys/eventfd.ts";
import type { FdNumber } from "../sys/fd.ts";
import { type KickTarget, kickThread } from "../sys/thread.ts";
import { VcpuThread } from "./vcpu_thread.ts";
import type { Window } from "./windows.ts";

declare const self: DedicatedWorkerGlobalScope;

let vcpu: VcpuThread | undefined;
/** A control thread that may be in the guest, too: it is kicked after each message, and counts them. */
let control: { readonly thread: KickTarget; readonly words: Int32Array } | undefined;

function report(message: VcpuReport): void {
  if (control !== undefined) Atomics.add(control.words, REPORTS, 1);
  self.postMessage(message);
  if (control !== undefined) kickThread(control.thread);
}

self.onmessage = (event: MessageEvent<VcpuOrder<readonly Window[], BootState>>) => {
  try {
    switch (event.data.type) {
      case "init":
        return initialise(event.data);
      case "start":
        return start(event.data.state);
      case "leave": // control kicks no more: until now it could write to the run page at any time
        vcpu?.[Symbol.dispose]();
        vcpu = undefined;
        return report({ type: "left" });
    }
  } catch (error) {
    report({ type: "failed", error: plainError(error) });
  }
};

function initialise(init: VcpuInit<readonly Window[]>): void {
  control = init.controlThread === undefined
    ? undefined
    : { thread: init.controlThread, words: new ControlBlock(init.block, init).words };
  vcpu = new VcpuThread(init, {
    parked: () => report({ type: "parked" }),
    wakeIo: () => signalEventfd(init.ioWakeFd as FdNumber),
  });
  report({ type: "ready", thread: vcpu.thread, runPageAddress: vcpu.runPageAddress });
}

function start(state: BootState | undefined): void {
  if (vcpu === undefined) return;
  vcpu.load(state);
  const startedAt = performance.timeOrigin + performance.now();
  report({ type: "exited", exit: vcpu.loop.run(), startedAt });
}
