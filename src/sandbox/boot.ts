/** From options to a machine that runs, with its console and its agent. */
import { cachedGuest, ensuredGuest, type GuestFiles } from "../guest/default_guest.ts";
import { hostGuestChoice } from "../guest/guest_choice.ts";
import type { ImageConfig } from "../guest/image/config.ts";
import type { BuildProgress } from "../guest/mod.ts";
import { KvmSystem } from "../kvm/system.ts";
import { ConsolePipe } from "../machine/console_pipe.ts";
import {
  checkConfig,
  Machine,
  type MachineConfig,
  type MachineExit,
  type MachineOptions,
} from "../machine/mod.ts";
import { Agent } from "./agent.ts";
import { CarriedAgent, type CarriedKind } from "./carried_agent.ts";
import { BootError, ConfigError, VmError } from "./errors.ts";
import { hostPath } from "./host_path.ts";
import { rootedRequestOf } from "./rootfs_options.ts";
import { VmConsole } from "./vm_console.ts";
import {
  carriedKindOf,
  configErrorOf,
  hasAgentOf,
  machineConfigOf,
  type VmOptions,
} from "./vm_options.ts";

const COLUMNS = 80;
const ROWS = 24;
/** How long the agent in a guest of the user's is waited for, when nobody says. Such a guest may never have one. */
const CARRIED_MS = 120_000;

/** A machine to be, whoever describes it: options of a sandbox, or flags of the command line. */
export interface BootRequest {
  /** Without faults: `checkConfig`. */
  readonly config: MachineConfig;
  /** Whether its guest starts an agent. */
  readonly hasAgent: boolean;
  /** The agent that is carried into its initrd. */
  readonly carries?: CarriedKind;
  /** How commands are run in a root of the user's. */
  readonly image?: ImageConfig;
  /** What the machine is connected to beside its console. */
  readonly connections?: Omit<MachineOptions, "terminal" | "firstVcpu">;
}

/** A machine that runs; its agent may not be up yet. */
export interface Started {
  readonly machine: Machine;
  readonly console: VmConsole;
  /** Undefined in a guest without one. */
  readonly agent: Agent | undefined;
  /** Whether the guest is not ours: then its agent may never come up. */
  readonly isCarried: boolean;
  /** How the machine ends, once everything it has said is in the console, and nothing is left of it. */
  readonly exited: Promise<MachineExit>;
}

/** What a sandbox is made of. */
export interface Booted extends Started {
  /** From the start of the machine until the agent was up, or the guest's first instruction. */
  readonly bootMs: number;
}

/** The machine of `options`. Rejects with ConfigError, errors of the guest's build, or the reason of the signal. */
export async function bootRequest(options: VmOptions): Promise<BootRequest> {
  const { signal } = options;
  signal?.throwIfAborted();
  const { files, image } = options.rootfs !== undefined
    ? await guestWithRoot(options, options.rootfs)
    : { files: options.kernel === undefined ? await defaultGuest(signal) : undefined };
  const config = machineConfigOf(options, files);
  const [problem] = checkConfig(config);
  if (problem !== undefined) throw configErrorOf(problem);
  const carries = carriedKindOf(options);
  return {
    config,
    hasAgent: carries !== undefined || hasAgentOf(options, files),
    ...(carries === undefined ? {} : { carries }),
    ...(image === undefined ? {} : { image }),
  };
}

async function guestWithRoot(
  options: VmOptions,
  rootfs: NonNullable<VmOptions["rootfs"]>,
): Promise<{ readonly files: GuestFiles; readonly image?: ImageConfig }> {
  const kernel = options.kernel === undefined
    ? undefined
    : { kernel: hostPath("kernel", options.kernel) };
  const request = rootedRequestOf(rootfs, kernel);
  requireKvm();
  const { rootedGuest } = await import("../guest/rooted_guest.ts");
  const { signal } = options;
  try {
    return await rootedGuest(request, hostGuestChoice().kind, { progress: SILENT, signal });
  } catch (error) {
    throw rootErrorOf(error);
  }
}

/** Starts a machine and waits for its agent. Rejects with BootError, VmError, or the reason of the signal. */
export async function bootMachine(
  request: BootRequest,
  signal: AbortSignal | undefined,
): Promise<Booted> {
  signal?.throwIfAborted();
  const started = await startMachine(request);
  const begun = performance.now();
  try {
    await agentUp(started, signal);
  } catch (error) {
    await started.machine.stop();
    await started.exited;
    throw error;
  }
  return { ...started, bootMs: performance.now() - begun };
}

/** Rejects with VmError; nothing is left behind then. */
export async function startMachine(
  { config, hasAgent, carries, connections = {} }: BootRequest,
): Promise<Started> {
  await using carried = carries === undefined
    ? undefined
    : await CarriedAgent.into(config, carries);
  const pipe = await ConsolePipe.open();
  const machine = await createMachine(carried?.config ?? config, connections, pipe);
  const console = new VmConsole(pipe.owner);
  const agent = hasAgent ? new Agent(carried?.road(machine) ?? machine) : undefined;
  const exited = machine.exited.then(async (exit) => {
    agent?.close();
    pipe[Symbol.dispose](); // the end of the console
    await console.ended;
    return exit;
  });
  machine.start();
  return { machine, console, agent, isCarried: carried !== undefined, exited };
}

async function createMachine(
  config: MachineConfig,
  connections: Omit<MachineOptions, "terminal">,
  pipe: ConsolePipe,
): Promise<Machine> {
  try {
    const { fds } = pipe;
    return await Machine.create(config, {
      ...connections,
      terminal: { isTty: false, columns: COLUMNS, rows: ROWS, fds },
    });
  } catch (error) {
    pipe.owner.close();
    pipe[Symbol.dispose]();
    throw vmErrorOf(error);
  }
}

/** Waits for the agent, if there is one. Rejects with BootError, AgentError, or the reason of the signal. */
export async function agentUp(
  { agent, isCarried, exited, console }: Started,
  given: AbortSignal | undefined,
): Promise<void> {
  if (agent === undefined) return;
  const signal = given ?? (isCarried ? AbortSignal.timeout(CARRIED_MS) : undefined);
  const aborted = Promise.withResolvers<never>();
  const abort = (): void =>
    aborted.reject(isCarried ? missing(console, signal?.reason) : signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  if (signal?.aborted) abort();
  try {
    const end = exited.then(({ reason, detail }) => {
      const why = detail === undefined ? reason : `${reason}, ${detail}`;
      throw new BootError(
        `The guest ended before ${isCarried ? "its agent" : "it"} was up: ${why}`,
        isCarried ? "AGENT_MISSING" : "BOOT_FAILED",
        console.tail,
        { hint: "see what its console said last: error.consoleTail" },
      );
    });
    await Promise.race([ready(agent, end), end, aborted.promise]);
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** What a time limit means for a guest that may have no way to us; whoever gives up for another reason has that. */
function missing({ tail }: VmConsole, reason: unknown): unknown {
  if (!(reason instanceof DOMException) || reason.name !== "TimeoutError") return reason;
  return new BootError("The guest's agent has not come up in time", "AGENT_MISSING", tail, {
    cause: reason,
    hint:
      "it needs virtio-vsock, or virtio-console and a shell, in the kernel or loaded by the initrd's " +
      'own /init; error.consoleTail is what the console said, and agent: "none" does without',
  });
}

/** The end of the machine ends the wait for its agent, too, but says more. */
async function ready(agent: Agent, end: Promise<never>): Promise<void> {
  try {
    await agent.ready();
  } catch (error) {
    if (error instanceof VmError) throw error;
    await end;
  }
}

async function defaultGuest(signal: AbortSignal | undefined): Promise<GuestFiles> {
  const { kind } = hostGuestChoice();
  const cached = await cachedGuest(kind);
  if (cached !== undefined) return cached;
  requireKvm();
  return (await ensuredGuest(kind, { progress: SILENT, signal })).files;
}

/** Before minutes are spent on building a guest. Throws VmError. */
function requireKvm(): void {
  try {
    using _kvm = KvmSystem.open();
  } catch (error) {
    throw vmErrorOf(error);
  }
}

const SILENT: BuildProgress = { stage: () => {}, fraction: () => {} };

/** What is wrong with a root is wrong with the options. */
function rootErrorOf(error: unknown): unknown {
  if (!(error instanceof Error) || error.name !== "ImageError") return error;
  const { code, hint } = error as Error & { readonly code: string; readonly hint?: string };
  const more = hint === undefined ? {} : { hint };
  return new ConfigError("rootfs", error.message, code, { cause: error, ...more });
}

/** Errors of the machine carry code and hint already. */
function vmErrorOf(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { code, hint } = error as { code?: unknown; hint?: unknown };
  if (typeof code !== "string") return error;
  return new VmError(error.message, code, {
    cause: error,
    ...(typeof hint === "string" ? { hint } : {}),
  });
}
