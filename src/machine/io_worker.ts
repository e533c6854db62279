/**
 * The I/O thread: owns transports, devices, backends and the terminal, and blocks in its event loop until the
 * machine stops. Everything here runs in callbacks of that loop.
 */
/// <reference lib="deno.worker" />
import { type IoInit, type IoReport, plainError } from "../ipc/messages.ts";
import { IoThread } from "./io_thread.ts";
import type { MachinePlan } from "./plan.ts";

declare const self: DedicatedWorkerGlobalScope;

function report(message: IoReport): void {
  self.postMessage(message);
}

self.onmessage = (event: MessageEvent<IoInit<MachinePlan>>) => {
  let thread: IoThread | undefined;
  try {
    thread = new IoThread(event.data, report);
    report({ type: "ready" });
    thread.run();
    thread.close();
    report({ type: "stopped", panic: thread.panic });
  } catch (error) {
    report({ type: "failed", error: plainError(error) });
    try {
      thread?.close();
    } catch {
      // the first error is the one to report
    }
  }
};
