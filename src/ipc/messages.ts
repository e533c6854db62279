/** What the control thread and its workers say to each other by postMessage: plain data, rare. */
import type { VcpuPlace } from "../kvm/vcpu.ts";
import type { KickTarget } from "../sys/thread.ts";
import type { MemoryLayout } from "./memory_layout.ts";

/** Sent once to every worker. `words` is the control block's buffer. */
interface CommonInit {
  readonly type: "init";
  readonly vmFd: number;
  readonly block: SharedArrayBuffer;
  readonly vcpus: number;
  readonly devices: number;
  /** Eventfd that makes the I/O loop look at mailboxes, rings and requests. */
  readonly ioWakeFd: number;
  /** Eventfds bound to interrupt lines, one per virtio device, and the serial port's (-1: none). */
  readonly irqFds: readonly number[];
  readonly serialIrqFd: number;
  /** The control thread, to be kicked after each message when it runs a guest itself; else it only waits for messages. */
  readonly controlThread: KickTarget | undefined;
}

/** What an I/O thread is told about a machine. `plan` is a MachinePlan; its type lives above this layer. */
export interface IoInit<Plan> extends CommonInit {
  readonly plan: Plan;
  /** What has been opened for each virtio device (-1: nothing). They stay control's. */
  readonly opened: readonly number[];
  readonly memory: MemoryLayout;
  readonly ownerSocket: { readonly path: string; readonly token: Uint8Array<ArrayBuffer> };
  readonly terminal: {
    readonly isTty: boolean;
    readonly columns: number;
    readonly rows: number;
    /** Instead of stdin and stdout. */
    readonly fds?: { readonly input: number; readonly output: number };
  };
}

/** How many orders were posted: stored by control before it posts one. */
export const THREAD_POSTED = 0;
/** 1: its loop has failed, it serves nobody any more. Stored by the thread before it reports the failure of its machines. */
export const THREAD_BROKEN = 1;
export const THREAD_WORDS = 2;

/** To an I/O worker: first what it is, then of each machine it is to serve. */
export type IoOrder<Plan> =
  | {
    readonly type: "begin";
    /** THREAD_WORDS words. */
    readonly shared: SharedArrayBuffer;
    /** Eventfd that makes it leave its loop and take messages. */
    readonly wakeFd: number;
    /** The epoll instance of its loop. Both stay control's. */
    readonly epollFd: number;
  }
  | { readonly type: "attach"; readonly machine: number; readonly init: IoInit<Plan> };

/** From an I/O worker: what it reports about a machine. */
export interface IoMessage {
  readonly machine: number;
  readonly report: IoReport;
}

/**
 * About one machine. After `stopped` and `failed` the thread holds nothing of it; `isBusy`: but the kernel has requests of
 * its disks in flight, and may still write to the guest's memory.
 */
export type IoReport =
  | { readonly type: "ready" }
  /** A driver broke its device. */
  | { readonly type: "device-fault"; readonly device: string; readonly message: string }
  /** The host refused a device what it needs; the machine goes on. Each message of a device once. */
  | { readonly type: "backend-failed"; readonly device: string; readonly message: string }
  | { readonly type: "quit-requested" }
  | { readonly type: "help-requested" }
  | { readonly type: "power-requested" }
  /** Nobody reads our output any more. */
  | { readonly type: "output-closed" }
  | { readonly type: "stopped"; readonly panic: string | undefined; readonly isBusy: boolean }
  | { readonly type: "failed"; readonly error: PlainError; readonly isBusy: boolean };

/** To a vCPU worker. */
export interface VcpuInit<Windows> extends CommonInit {
  /** The vCPU, ready to run. It stays control's. */
  readonly place: VcpuPlace;
  readonly windows: Windows;
}

/** Everything a vCPU worker is told: what it is, then to run. When it has reported its exit it holds nothing any more. */
export type VcpuOrder<Windows> = VcpuInit<Windows> | { readonly type: "start" };

/** Why a vCPU stopped running. */
export type VcpuExit =
  | { readonly kind: "asked" }
  | { readonly kind: "exit-register"; readonly status: number }
  | { readonly kind: "reset" }
  | { readonly kind: "poweroff" }
  | { readonly kind: "triple-fault"; readonly deliberate: boolean }
  | { readonly kind: "kvm-error"; readonly detail: string; readonly hint?: string };

/** From a vCPU worker. */
export type VcpuReport =
  | { readonly type: "ready"; readonly thread: KickTarget }
  /** Look at VCPU_PARKED: it was set a moment ago. */
  | { readonly type: "parked" }
  | { readonly type: "exited"; readonly exit: VcpuExit; readonly startedAt: number }
  | { readonly type: "failed"; readonly error: PlainError };

/** An error as it crosses threads. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly hint?: string;
  readonly stack?: string;
}

/** Makes `error` cloneable, keeping `code` and `hint`. */
export function plainError(error: unknown): PlainError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { code, hint } = error as { code?: unknown; hint?: unknown };
  return {
    name: error.name,
    message: error.message,
    ...(typeof code === "string" ? { code } : {}),
    ...(typeof hint === "string" ? { hint } : {}),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
  };
}
