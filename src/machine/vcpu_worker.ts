/**
 * The worker of a vCPU: a `VcpuThread` and the messages about it. Between `start` and the end it does not return to
 * the JavaScript event loop.
 */
/// <reference lib="deno.worker" />
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

self.onmessage = ({ data }: MessageEvent<VcpuOrder<readonly Window[]>>) => {
  try {
    if (data.type === "init") initialise(data);
    else start();
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
  report({ type: "ready", thread: vcpu.thread });
}

function start(): void {
  if (vcpu === undefined) return;
  const startedAt = performance.timeOrigin + performance.now();
  const exit = vcpu.loop.run();
  vcpu = undefined; // its run page is gone as soon as control hears of it
  report({ type: "exited", exit, startedAt });
}
