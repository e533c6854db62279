/** A microVM to run things in. */
import { type ImageConfig, PLAIN_ROOT, startWords } from "../guest/image/config.ts";
import type { Machine, MachineExit, VsockConnection, VsockListener } from "../machine/mod.ts";
import type { Agent } from "./agent.ts";
import { type Booted, bootMachine, bootRequest } from "./boot.ts";
import type { GuestCommandOptions } from "./command_options.ts";
import { AgentError, VmError } from "./errors.ts";
import { GuestCommands, imageDefaults } from "./guest_commands.ts";
import { GuestFs } from "./guest_fs.ts";
import { GuestPorts } from "./guest_ports.ts";
import type { GuestOutput } from "./guest_output.ts";
import type { GuestProcess } from "./guest_process.ts";
import { ShellCommand, type ShellRunner, shellScript } from "./shell_command.ts";
import {
  metricsStream,
  type MetricsStreamOptions,
  type VmMetrics,
  vmMetrics,
} from "./vm_metrics.ts";
import type { VmConsole } from "./vm_console.ts";
import type { VmOptions } from "./vm_options.ts";
import { waitFor, type WaitTarget } from "./waiting.ts";

/** How a machine ended. */
export interface VmStatus {
  /** Whether the guest has switched itself off, or restarted, or written 0 to its exit register. */
  readonly success: boolean;
  /** As the command line's exit status: the exit register's byte, 0 for a clean end, 255 for a guest that died. */
  readonly code: number;
  /** Why. */
  readonly reason: "poweroff" | "reboot" | "panic" | "crash" | "killed" | "exit-device";
  /** What is known beyond that, for people. */
  readonly detail?: string;
}

/** Waits for it at most so long: `shutdown` without a signal. */
const SHUTDOWN_MS = 10_000;
const DIED = 255;
let made = 0;

/**
 * One microVM, from its boot to its end.
 *
 * ```ts
 * import { Vm } from "@dinovisor/dinovisor";
 *
 * await using vm = await Vm.boot();
 * const { code, text } = await vm.output("uname", ["-s"]);
 * console.log(code, text); // 0 Linux
 * ```
 */
export class Vm implements AsyncDisposable {
  /** Unlike any other of this process. */
  readonly id: string = `vm-${++made}`;
  /** As the options have it, or the id. */
  readonly name: string;
  /** What the guest prints and what is typed there. */
  readonly console: VmConsole;
  /** The guest's files. */
  readonly fs: GuestFs;
  /** How it ends. Never rejects. */
  readonly status: Promise<VmStatus>;
  /** From the start until the agent was up, in milliseconds. */
  readonly bootMs: number;
  /** What its root's image says about how it is run; nothing, for all other roots. */
  readonly image: ImageConfig;
  readonly #machine: Machine;
  readonly #agent: Agent | undefined;
  readonly #ports: GuestPorts;
  readonly #commands: GuestCommands;
  #state: "running" | "paused" | "stopped" = "running";

  private constructor(
    { machine, console, agent, exited, bootMs }: Booted,
    image: ImageConfig | undefined,
    options: VmOptions,
  ) {
    this.name = options.name ?? this.id;
    this.console = console;
    this.bootMs = bootMs;
    this.#machine = machine;
    this.#agent = agent;
    this.image = image ?? PLAIN_ROOT;
    const door = { open: async () => await this.#required().open() };
    this.fs = new GuestFs(door);
    this.#ports = new GuestPorts(door);
    this.#commands = new GuestCommands({ agent: () => this.#required(), fs: this.fs }, {
      ...imageDefaults(image),
      ...(options.user === undefined ? {} : { user: options.user }),
      env: { ...image?.env, ...options.env },
    });
    const { signal } = options;
    const abort = (): void => this.kill();
    signal?.addEventListener("abort", abort, { once: true });
    this.status = exited.then(async (exit) => {
      this.#state = "stopped";
      await this.#ports.close();
      signal?.removeEventListener("abort", abort);
      return statusOf(exit);
    });
    if (signal?.aborted) abort();
  }

  /**
   * Boots a guest: the default one unless `options` have a kernel. The first time on a machine that takes minutes (the
   * guest is built), later seconds. Resolves when commands can be run. Rejects with ConfigError, BootError, VmError, or
   * the reason of the signal; nothing is left behind then.
   */
  static async boot(options: VmOptions = {}): Promise<Vm> {
    const request = await bootRequest(options);
    return new Vm(await bootMachine(request, options.signal), request.image, options);
  }

  /** Where in its life it is. */
  get state(): "running" | "paused" | "stopped" {
    return this.#state;
  }

  #required(): Agent {
    if (this.#state === "stopped") {
      throw new VmError(`Cannot work in ${this.name}: it has ended`, "STATE");
    }
    if (this.#agent !== undefined) return this.#agent;
    throw new AgentError(`Cannot work in ${this.name}: its guest has no agent`, "NO_AGENT", {
      hint: "leave `kernel` and `agent` out for a guest that has one",
    });
  }

  /**
   * Starts a command. Rejects with VmError when it cannot be started (COMMAND_NOT_FOUND, COMMAND_NOT_PROGRAM,
   * CWD_INVALID, USER_NOT_FOUND, …), and AgentError.
   */
  async spawn(
    command: string,
    args: readonly string[] = [],
    options: GuestCommandOptions = {},
  ): Promise<GuestProcess> {
    return await this.#commands.spawn(command, args, options);
  }

  /**
   * Starts what the image of the root is for: its entrypoint, with `args` or, without them, its own command behind. The
   * rules are docker's. Rejects as `spawn` does, and with VmError IMAGE_NO_COMMAND when it has neither.
   */
  async start(
    args?: readonly string[],
    options: GuestCommandOptions = {},
  ): Promise<GuestProcess> {
    const [command, ...rest] = startWords(this.image, args);
    if (command !== undefined) return await this.spawn(command, rest, options);
    throw new VmError(
      `Cannot start ${this.name}: its image has no entrypoint and no command`,
      "IMAGE_NO_COMMAND",
      { hint: 'say what to run: vm.spawn("sh")' },
    );
  }

  /** Runs a command to its end. Its status is part of the result, whatever it is. Rejects like `spawn`. */
  async output(
    command: string,
    args: readonly string[] = [],
    options: GuestCommandOptions = {},
  ): Promise<GuestOutput> {
    await using child = await this.spawn(command, args, options);
    return await child.output();
  }

  /**
   * A line for the guest's shell; each `${value}` is one word of it, an array several. It runs when it is awaited, and
   * throws CommandError unless its status is 0.
   *
   * ```ts
   * import { Vm } from "@dinovisor/dinovisor";
   *
   * await using vm = await Vm.boot();
   * const name = "it's here";
   * console.log(await vm.sh`echo ${name} | wc -c`.text()); // 10
   * ```
   */
  sh(strings: TemplateStringsArray, ...values: readonly unknown[]): ShellCommand {
    const script = shellScript(strings.raw, values);
    return new ShellCommand({ script, throws: true }, this.#shell);
  }

  readonly #shell: ShellRunner = ({ script, cwd, signal }) =>
    this.output("sh", ["-c", script], {
      ...(cwd === undefined ? {} : { cwd }),
      ...(signal === undefined ? {} : { signal }),
    });

  /**
   * Calls a program in the guest: on a TCP port of 127.0.0.1 there, by way of the agent, or on a vsock port. Rejects with
   * VmError PORT_REFUSED, MachineError VSOCK_REFUSED when nobody listens there; with the reason of the signal.
   */
  async connect(
    to: ({ readonly port: number } | { readonly vsock: number }) & {
      readonly signal?: AbortSignal;
    },
  ): Promise<VsockConnection> {
    if ("port" in to) return await this.#ports.connect(to.port, to.signal);
    return await this.#machine.connect(to);
  }

  /**
   * Like the global `fetch`, to a server in the guest: `http://guest:8000/path`. The guest needs no network for it, and
   * nothing is published on the host.
   */
  async fetch(url: string | URL, init?: RequestInit): Promise<Response> {
    this.#required();
    return await this.#ports.fetch(url, init);
  }

  /** Waits until something is there in the guest. Rejects with the reason of the signal, VmError STATE, AgentError. */
  async waitFor(
    what: WaitTarget,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    await waitFor(what, {
      port: async (port) => (await this.connect({ port })).close(),
      http: async (url) => {
        const response = await this.fetch(url, signal === undefined ? {} : { signal });
        await response.body?.cancel();
        return response.status;
      },
      file: async (path) => void await this.fs.stat(path),
      command: (line) => new ShellCommand({ script: line, throws: false }, this.#shell).code(),
    }, signal);
  }

  /** What it has done so far; also when it has ended. */
  metrics(): VmMetrics {
    return vmMetrics(this.#machine, this.bootMs);
  }

  /**
   * Metrics at once, then again and again while they are read, and a last time when the machine has ended. Throws RangeError
   * for an interval that is not above 0.
   */
  metricsStream(options?: MetricsStreamOptions): ReadableStream<VmMetrics> {
    return metricsStream(() => this.metrics(), this.status, options);
  }

  /** Takes the guest's calls to a vsock port of the host (CID 2). Throws MachineError. */
  listen(from: { readonly vsock: number }): VsockListener {
    return this.#machine.listen(from);
  }

  /** Takes the guest's processors away; resolves when it stands still. Rejects with MachineError STATE. */
  async pause(): Promise<void> {
    await this.#machine.pause();
    if (this.#state === "running") this.#state = "paused";
  }

  /** Lets it go on. Throws MachineError STATE when it has ended. */
  resume(): void {
    this.#machine.resume();
    if (this.#state === "paused") this.#state = "running";
  }

  /**
   * Asks the guest to end everything in order and to switch itself off. When it has not after 10 seconds, or when the
   * signal is aborted, it is killed. Does nothing to one that has ended.
   */
  async shutdown(
    { signal = AbortSignal.timeout(SHUTDOWN_MS) }: { readonly signal?: AbortSignal } = {},
  ): Promise<VmStatus> {
    if (this.#state === "stopped") return await this.status;
    if (this.#state === "paused") this.resume();
    const kill = (): void => this.kill();
    signal.addEventListener("abort", kill, { once: true });
    try {
      if (signal.aborted) kill();
      else await this.#powerOff();
      return await this.status;
    } finally {
      signal.removeEventListener("abort", kill);
    }
  }

  async #powerOff(): Promise<void> {
    if (this.#agent === undefined) return this.#machine.pressPowerButton();
    try {
      await this.#agent.powerOff();
    } catch (error) {
      if (this.#state !== "stopped") throw error;
    }
  }

  /** Pulls the plug. `status` resolves when nothing is left. */
  kill(): void {
    this.#machine.stop();
  }

  /** Pulls the plug, and waits until nothing is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.status;
  }
}

function statusOf({ reason, status, detail }: MachineExit): VmStatus {
  const more = detail === undefined ? {} : { detail };
  switch (reason) {
    case "poweroff":
    case "reboot":
      return { success: true, code: 0, reason, ...more };
    case "exit-register":
      return { success: status === 0, code: status ?? 0, reason: "exit-device", ...more };
    case "panic":
      return { success: false, code: DIED, reason, ...more };
    case "stopped":
      return { success: false, code: 137, reason: "killed", ...more };
    case "triple-fault":
    case "kvm-error":
    case "internal-error":
      return { success: false, code: DIED, reason: "crash", ...more };
  }
}
