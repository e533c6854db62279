/** Signals by name and number, as Linux on x86 and arm64 has them (include/uapi/asm-generic/signal.h). */

const NAMES: readonly Deno.Signal[] = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGILL",
  "SIGTRAP",
  "SIGABRT",
  "SIGBUS",
  "SIGFPE",
  "SIGKILL",
  "SIGUSR1",
  "SIGSEGV",
  "SIGUSR2",
  "SIGPIPE",
  "SIGALRM",
  "SIGTERM",
  "SIGSTKFLT",
  "SIGCHLD",
  "SIGCONT",
  "SIGSTOP",
  "SIGTSTP",
  "SIGTTIN",
  "SIGTTOU",
  "SIGURG",
  "SIGXCPU",
  "SIGXFSZ",
  "SIGVTALRM",
  "SIGPROF",
  "SIGWINCH",
  "SIGIO",
  "SIGPWR",
  "SIGSYS",
];

/** The number of `signal`; undefined when Linux has none of that name. */
export function signalNumber(signal: Deno.Signal): number | undefined {
  const index = NAMES.indexOf(signal);
  return index === -1 ? undefined : index + 1;
}

/** What a process ended with: its code, or 128 and the number of a signal. Real-time signals have no name here. */
export function commandStatus(code: number, signal: number): Deno.CommandStatus {
  if (signal === 0) return { success: code === 0, code, signal: null };
  return { success: false, code: 128 + signal, signal: NAMES[signal - 1] ?? null };
}
