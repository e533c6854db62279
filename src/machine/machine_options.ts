/** What a machine is connected to beside its configuration, what it tells, and where in its life it is. */
import type { LocalVcpu } from "./local_vcpu.ts";

/** A device's host side has failed: a disk that is full, a network that is gone. The machine goes on. */
export interface BackendFailure {
  /** As the plan names it: `block0`. */
  readonly device: string;
  /** What failed and why, for people: `Cannot write disk "a.img": no space left (ENOSPC)`. */
  readonly message: string;
}

/** What a running machine has to say to its owner. */
export interface MachineEvents {
  /** The user typed Ctrl-] q. */
  quitRequested?(): void;
  /** The user typed Ctrl-] ?. */
  helpRequested?(): void;
  /** The user typed Ctrl-] p. */
  powerRequested?(): void;
  /** Nobody reads stdout any more. */
  outputClosed?(): void;
  /** Each failure once, and a few of each device: the guest hears of every one, as an error, a link down or a reset. */
  backendFailed?(failure: BackendFailure): void;
  /** One line about something of note, for --verbose. */
  log?(line: string): void;
}

/** What a machine's console is connected to. */
export interface TerminalSize {
  /** Open descriptors of this process instead of stdin and stdout; they stay the caller's until the machine has ended. */
  readonly fds?: { readonly input: number; readonly output: number };
  /** Whether a person types there: the escape key counts then. */
  readonly isTty: boolean;
  /** Characters. */
  readonly columns: number;
  /** Characters. */
  readonly rows: number;
}

/** What a machine is connected to, beside its configuration. */
export interface MachineOptions {
  /** What the console is connected to: stdin and stdout, 80 by 24 and no tty when left out. */
  readonly terminal?: TerminalSize;
  /** Whom to tell what happens. */
  readonly events?: MachineEvents;
  /** The device to open instead of /dev/kvm. */
  readonly kvmDevice?: string;
  /**
   * `LocalVcpu` of `local_vcpu.ts`: the calling isolate runs the first vCPU itself, which saves a worker and its start.
   * While the guest runs, that isolate's timers and promises get a turn every 100 ms, or when the machine has
   * something to say: for programs that do nothing else meanwhile, like the command line. Without it every vCPU has a
   * worker of its own.
   */
  readonly firstVcpu?: typeof LocalVcpu;
  /**
   * The process ends with the machine. What devices have in flight is finished and written, but KVM's objects, mappings
   * and threads are left to the kernel, which takes 20 ms less for all at once than for one after the other.
   */
  readonly endsProcess?: boolean;
}

/** Where in its life a machine is. `pausing`: some vCPUs may still be in the guest; `paused`: none is. */
export type MachineStatus = "created" | "running" | "pausing" | "paused" | "stopping" | "stopped";
