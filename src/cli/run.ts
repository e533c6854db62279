/**
 * `dinovisor run`: settings, checks, guest, machine, and one place through which every end passes: terminal put
 * back, errors printed, report written.
 */
import type { MachineConfig } from "../machine/config.ts";
import type { MachineExit } from "../machine/exit.ts";
import { LocalVcpu } from "../machine/local_vcpu.ts";
import { Machine } from "../machine/machine.ts";
import type { BackendFailure, MachineOptions } from "../machine/machine_options.ts";
import { checkConfig } from "../machine/check.ts";
import { discoveryWarning } from "../machine/discovery.ts";
import { kernelContents } from "../machine/kernel_knowledge.ts";
import type { KernelContents } from "../arch/kernel_contents.ts";
import { planMachine, userCmdline } from "../machine/plan.ts";
import type { Problem } from "../virtio/device_kind.ts";
import { ProgressLine } from "./build_progress.ts";
import { onCrash } from "./crash.ts";
import {
  cachedGuest,
  ensuredGuest,
  firstRunNotice,
  type GuestFiles,
} from "../guest/default_guest.ts";
import { printProblems, ProblemsFound, problemsOf } from "./errors.ts";
import { machineOutcome, type Outcome, STATUS_ERROR, stopOutcome } from "./exit_status.ts";
import { type GuestKind, hostGuestChoice } from "../guest/guest_choice.ts";
import type { ImageConfig } from "../guest/image/config.ts";
import type * as guestCommand from "./guest_command.ts";
import { KvmSystem } from "../kvm/system.ts";
import { kvmDevice } from "./kvm_device.ts";
import { machineConfig } from "./machine_config.ts";
import { writeError, writeResult } from "./output.ts";
import { parseWords } from "./parse.ts";
import type { RootfsSettings } from "./rootfs.ts";
import { reportOf, reportProblems, writeReport } from "./report.ts";
import { type CommandSettings, readRunSettings, type RunSettings } from "./run_settings.ts";
import { hostRingZero } from "../guest/ring_zero.ts";
import { ringZeroWarning } from "./ring_zero.ts";
import { sourceTrace } from "./source_trace.ts";
import { StopRequest } from "./stop_request.ts";
import {
  CONSOLE_HINT,
  enterRawMode,
  ESCAPE_HELP,
  restoreTerminal,
  terminalState,
  watchWindow,
  windowSize,
} from "./terminal.ts";

/** How long a machine may take to stop before we leave without it: more than its own patience. */
const STOP_PATIENCE_MS = 20_000;

/** Loads `guest_command.ts`. */
export type CommandLoader = () => Promise<typeof guestCommand>;

/** Runs the words after `run`; what a command needs is loaded when there is one. */
export async function run(words: readonly string[], loadCommand: CommandLoader): Promise<number> {
  const { settings, problems } = readRunSettings(parseWords("run", words));
  const oneRun = new Run(settings, loadCommand);
  return oneRun.finish(await oneRun.outcome(problems));
}

/** One `dinovisor run`, from its settings to its exit status. */
class Run {
  /** The command in them changes once the image of a root is known. */
  #settings: RunSettings;
  readonly #loadCommand: CommandLoader;
  readonly #stop = new StopRequest();
  readonly #begun = performance.now();
  /** Of the command. */
  #env: Readonly<Record<string, string>> = {};
  #image: ImageConfig | undefined;
  /** Of the machine's devices, in the order in which they came. */
  readonly #failures: BackendFailure[] = [];

  constructor(settings: RunSettings, loadCommand: CommandLoader) {
    this.#settings = settings;
    this.#loadCommand = loadCommand;
  }

  /** Does it all. Never rejects. */
  async outcome(problems: readonly Problem[]): Promise<Outcome> {
    // Whoever asks twice does not want to wait.
    this.#stop.watchSignals((cause) => this.#leave(stopOutcome(cause)));
    using _crashes = onCrash((error) => this.#leave(this.#failure(error)));
    try {
      const config = await this.#config(problems);
      this.#warn(config);
      if (this.#settings.dryRun) {
        writeResult(JSON.stringify(planMachine(config), undefined, 2));
        return { reason: "dry-run", code: 0, problems: [] };
      }
      const { command } = this.#settings;
      if (command !== undefined) return await this.#runCommand(config, command);
      return machineOutcome(await this.#runMachine(config), this.#stop.cause, false);
    } catch (error) {
      return this.#failure(error);
    }
  }

  /** Tells the user and the report; returns the exit status. */
  finish(outcome: Outcome): number {
    const { report } = this.#settings;
    restoreTerminal();
    printProblems(outcome.problems, this.#settings);
    if (report === undefined) return outcome.code;
    const elapsedMs = performance.now() - this.#begun;
    const failed = writeReport(report, reportOf(outcome, elapsedMs, this.#failures));
    // One JSON object is all that goes to stderr, and a bad path has been said already.
    if (failed.length === 0) return outcome.code;
    if (outcome.problems.length === 0) printProblems(failed, this.#settings);
    return STATUS_ERROR;
  }

  /** Ends the process without waiting for anything any more. */
  #leave(outcome: Outcome): never {
    this.#stop.request({ kind: "quit" }); // or the programs of a build would go on without us
    Deno.exit(this.finish(outcome));
  }

  #failure(error: unknown): Outcome {
    const { cause } = this.#stop;
    if (cause !== undefined && error === this.#stop.signal.reason) return stopOutcome(cause);
    return { reason: "error", code: STATUS_ERROR, problems: problemsOf(error) };
  }

  /** The machine to run. Throws ProblemsFound with all problems, before anything is built or opened. */
  async #config(problems: readonly Problem[]): Promise<MachineConfig> {
    const { kernel, command, report } = this.#settings;
    const early = [
      ...problems,
      ...(report === undefined ? [] : reportProblems(report)),
      ...(command === undefined ? [] : await this.#readEnvironment(command)),
    ];
    const { rootfs } = this.#settings;
    if (rootfs !== undefined && command !== undefined) {
      return await this.#rootedConfig(rootfs, command, early);
    }
    if (kernel !== undefined) return checked(machineConfig(this.#settings), early);
    const { kind } = hostGuestChoice();
    const cached = await cachedGuest(kind);
    if (cached !== undefined) return checked(machineConfig(this.#settings, cached), early);
    this.#checkWithoutGuest(early);
    return checked(machineConfig(this.#settings, await this.#makeGuest(kind)), []);
  }

  /** Before minutes are spent on building a guest. Throws ProblemsFound and KvmError. */
  #checkWithoutGuest(early: readonly Problem[]): void {
    const found = checkConfig(machineConfig(this.#settings))
      .filter((problem) => problem.field !== "--kernel" || this.#settings.kernel !== undefined);
    if (early.length + found.length > 0) throw new ProblemsFound([...early, ...found]);
    if (this.#settings.dryRun) return;
    using _kvm = KvmSystem.open(kvmDevice());
  }

  /** The machine with a root of the user's, made first; its image may have a command, or one before the user's. */
  async #rootedConfig(
    rootfs: RootfsSettings,
    command: CommandSettings,
    early: readonly Problem[],
  ): Promise<MachineConfig> {
    this.#checkWithoutGuest(early);
    const { rootedRun } = await this.#loadCommand();
    using progress = this.#progress("root");
    const options = { progress, signal: this.#stop.signal };
    const rooted = await rootedRun(this.#settings, rootfs, command, options);
    this.#settings = rooted.settings;
    this.#image = rooted.image;
    return checked(machineConfig(rooted.settings, rooted.files), rooted.problems);
  }

  async #readEnvironment(command: CommandSettings): Promise<readonly Problem[]> {
    const { commandEnvironment } = await this.#loadCommand();
    const { env, problems } = commandEnvironment(command);
    this.#env = env;
    return problems;
  }

  /** A guest that finds none of its devices, or cannot run here, boots into silence: say so before. */
  #warn(config: MachineConfig): void {
    const { quiet, json, dryRun } = this.#settings;
    if (quiet || json) return;
    const warnings = [
      discoveryWarning(config, userCmdline(config)),
      dryRun // a plan may be meant for another host
        ? undefined
        : hostWarning(kernelContents(config.kernel.image)),
    ];
    for (const warning of warnings) {
      if (warning !== undefined) writeError(`warning: ${warning.message}; ${warning.hint}`);
    }
  }

  async #makeGuest(kind: GuestKind): Promise<GuestFiles> {
    const { quiet, json } = this.#settings;
    if (!quiet && !json) writeError(`default guest: ${firstRunNotice(kind)}`);
    using progress = this.#progress("default guest");
    return (await ensuredGuest(kind, { progress, signal: this.#stop.signal })).files;
  }

  #progress(subject: string): ProgressLine {
    const { quiet, json } = this.#settings;
    return new ProgressLine({
      silent: quiet || json,
      bar: Deno.stderr.isTerminal(),
      columns: windowSize().columns,
      subject,
    });
  }

  async #runMachine(config: MachineConfig): Promise<MachineExit> {
    this.#stop.signal.throwIfAborted();
    const press = () => this.#pressPowerButton(machine);
    await using machine = await Machine.create(config, {
      ...this.#connections(press),
      terminal: terminalState(),
      firstVcpu: LocalVcpu,
    });
    this.#stop.signal.throwIfAborted();
    using _console = this.#attachConsole();
    watchWindow((columns, rows) => machine.resize(columns, rows));
    this.#endInTime(machine);
    machine.start();
    return await machine.exited;
  }

  async #runCommand(config: MachineConfig, command: CommandSettings): Promise<Outcome> {
    const { runGuestCommand } = await this.#loadCommand();
    this.#stop.signal.throwIfAborted();
    return await runGuestCommand(config, command, {
      env: this.#env,
      image: this.#image,
      stop: this.#stop,
      verbose: this.#settings.verbose,
      connections: this.#connections(() => {}),
      started: (machine) => this.#endInTime(machine),
      pressPowerButton: (machine) => this.#pressPowerButton(machine),
    });
  }

  /** Stops `machine` when its time is over, or somebody asks for it. */
  #endInTime(machine: { stop(): Promise<MachineExit>; readonly exited: Promise<unknown> }): void {
    const { timeoutMs } = this.#settings;
    const { signal } = this.#stop;
    if (timeoutMs !== undefined) {
      // Deno loads its timers at the first use of any of them, which takes 10 ms.
      const limit = setTimeout(() => {
        this.#stop.request({ kind: "timeout", limitMs: timeoutMs });
      }, timeoutMs);
      machine.exited.then(() => clearTimeout(limit));
    }
    if (signal.aborted) this.#stopMachine(machine);
    else signal.addEventListener("abort", () => this.#stopMachine(machine));
  }

  /** Asked for by a key, so a machine without the button says so and goes on. */
  #pressPowerButton(machine: { pressPowerButton(): void }): void {
    try {
      machine.pressPowerButton();
    } catch (error) {
      if (!this.#settings.json) printProblems(problemsOf(error), this.#settings);
    }
  }

  /** The run goes on: the guest decides what it makes of it. */
  #backendFailed(failure: BackendFailure): void {
    this.#failures.push(failure);
    const { quiet, json } = this.#settings;
    if (!quiet && !json) writeError(`warning: ${failure.device}: ${failure.message}`);
  }

  #stopMachine(machine: { stop(): Promise<MachineExit> }): void {
    machine.stop();
    setTimeout(() => {
      const { cause } = this.#stop;
      const problem = {
        field: "",
        code: "STOP_STUCK",
        message: `Machine did not stop within ${STOP_PATIENCE_MS / 1000} seconds`,
        hint: "a disk or file it uses may hang; the process has left without waiting for it",
      };
      if (cause !== undefined) this.#leave({ ...stopOutcome(cause), problems: [problem] });
    }, STOP_PATIENCE_MS);
  }

  #connections(powerRequested: () => void): Omit<MachineOptions, "terminal" | "firstVcpu"> {
    const { verbose } = this.#settings;
    return {
      endsProcess: true,
      kvmDevice: kvmDevice(),
      events: {
        quitRequested: () => this.#stop.request({ kind: "quit" }),
        helpRequested: () => writeError(ESCAPE_HELP),
        powerRequested,
        outputClosed: () => this.#stop.request({ kind: "output-closed" }),
        backendFailed: (failure) => this.#backendFailed(failure),
        ...(verbose ? { log: (text) => writeError(sourceTrace(text)) } : {}),
      },
    };
  }

  /** Raw mode, for a machine whose console is the terminal. */
  #attachConsole(): Disposable {
    const { console: { mode }, quiet, json } = this.#settings;
    const attached = mode !== "off" && mode !== "file";
    if (!attached || !Deno.stdin.isTerminal()) return { [Symbol.dispose]() {} };
    if (!quiet && !json) writeError(CONSOLE_HINT);
    return enterRawMode();
  }
}

/** The host is looked at only for a kernel that could mind it. */
function hostWarning(kernel: KernelContents): ReturnType<typeof ringZeroWarning> {
  return kernel.kind === "linux" ? ringZeroWarning(hostRingZero(), kernel) : undefined;
}

/** `config`, unless something is wrong with it or was before. */
function checked(config: MachineConfig, early: readonly Problem[]): MachineConfig {
  const problems = [...early, ...checkConfig(config)];
  if (problems.length > 0) throw new ProblemsFound(problems);
  return config;
}
