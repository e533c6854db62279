/**
 * What goes wrong with the host's side of devices, on its way to the machine's owner: each message once, since a guest may
 * make a full disk say so thousands of times a second. Lives on the I/O thread.
 */
import type { IoReport } from "../ipc/messages.ts";

/** Different messages of one device: what a guest can bring about must not grow. */
const MAX_MESSAGES = 16;

export class BackendFailures {
  readonly #report: (message: IoReport) => void;
  readonly #said = new Map<string, Set<string>>();

  constructor(report: (message: IoReport) => void) {
    this.#report = report;
  }

  /** Reports `message` about `device` unless it has been said, or too much has. */
  add(device: string, message: string): void {
    const said = this.#said.get(device) ?? new Set();
    this.#said.set(device, said);
    if (said.has(message) || said.size === MAX_MESSAGES) return;
    said.add(message);
    this.#report({ type: "backend-failed", device, message });
  }
}
