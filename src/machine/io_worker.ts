/**
 * The I/O thread: owns transports, devices, backends and the terminal, and blocks in its event loop until the
 * machine stops. Everything here runs in callbacks of that loop.
 */
/// <reference lib="deno.worker" />
import { ControlBlock, STOPPING } from "../ipc/control_block.ts";
import { type IoInit, type IoReport, plainError } from "../ipc/messages.ts";
import { kickThread } from "../sys/thread.ts";
import { IoThread } from "./io_thread.ts";
import type { MachinePlan } from "./plan.ts";

declare const self: DedicatedWorkerGlobalScope;

self.onmessage = (event: MessageEvent<IoInit<MachinePlan>>) => {
  const init = event.data;
  const report = (message: IoReport) => {
    self.postMessage(message);
    if (init.controlThread !== 0) kickThread(init.controlThread); // it may be in the guest
  };
  let thread: IoThread | undefined;
  try {
    thread = new IoThread(init, report);
    report({ type: "ready" });
    thread.run();
    thread.close();
    report({ type: "stopped", panic: thread.panic });
  } catch (error) {
    // A vCPU may be waiting for an answer, and be the one to hear the report.
    Atomics.store(new ControlBlock(init.block, init).words, STOPPING, 1);
    report({ type: "failed", error: plainError(error) });
    try {
      thread?.close();
    } catch {
      // the first error is the one to report
    }
  }
};
