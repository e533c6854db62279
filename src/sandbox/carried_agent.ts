/** The agent for a guest that is not ours: carried in behind its initrd, and reached by what the guest has. */
import { ConsolePipe } from "../machine/console_pipe.ts";
import type { DeviceConfig, Machine, MachineConfig } from "../machine/mod.ts";
import { GuestBuildError } from "../guest/errors.ts";
import type { AgentMachine } from "./agent.ts";
import { FirstAgent } from "./first_agent.ts";
import { ShellAgent } from "./shell_agent.ts";

/** Which agents: over vsock, the shell's over a virtio console, or whichever is up first. */
export type CarriedKind = "auto" | "vsock" | "sh";

/** agent.sh looks for it. */
const PORT_NAME = "dinovisor.agent";
const SILENT = { stage: () => {}, fraction: () => {} };

/** One of a machine. Dispose it when the machine has been made: it has read the initrd then. */
export class CarriedAgent implements AsyncDisposable {
  /** What the machine is to be, so that its guest has the agent. */
  readonly config: MachineConfig;
  readonly #initrd: string;
  readonly #hasProgram: boolean;
  readonly #pipe: ConsolePipe | undefined;
  #isReached = false;

  private constructor(
    config: MachineConfig,
    initrd: string,
    hasProgram: boolean,
    pipe: ConsolePipe | undefined,
  ) {
    this.config = config;
    this.#initrd = initrd;
    this.#hasProgram = hasProgram;
    this.#pipe = pipe;
  }

  /** `config` has an initrd. Rejects with InitramfsError, and GuestBuildError when the agent cannot be compiled. */
  static async into(config: MachineConfig, kind: CarriedKind): Promise<CarriedAgent> {
    const { initrd = "", cmdline = "" } = config.kernel;
    const { initrdWithAgent, readShellAgent } = await import("../guest/initramfs/mod.ts");
    const program = await programFor(kind);
    const script = kind === "vsock" ? undefined : await readShellAgent();
    const { bytes, word } = await initrdWithAgent({
      initrd,
      cmdline,
      ...(program === undefined ? {} : { program }),
      ...(script === undefined ? {} : { script }),
    });
    const path = await Deno.makeTempFile({ prefix: "dinovisor-initrd-" });
    try {
      await Deno.writeFile(path, bytes);
      const pipe = script === undefined ? undefined : await ConsolePipe.open();
      const kernel = { ...config.kernel, initrd: path, cmdline: `${cmdline} ${word}`.trim() };
      const devices = pipe === undefined ? config.devices : [...config.devices, portOf(pipe)];
      return new CarriedAgent({ ...config, kernel, devices }, path, program !== undefined, pipe);
    } catch (error) {
      await Deno.remove(path);
      throw error;
    }
  }

  /** How the agent of `machine` is reached. Call it before the machine starts. */
  road(machine: Machine): AgentMachine {
    const pipe = this.#pipe;
    if (pipe === undefined) return machine;
    this.#isReached = true;
    const shell = new ShellAgent(pipe.owner, () => machine.status);
    machine.exited.then(() => pipe[Symbol.dispose]()); // the end of its lines
    return this.#hasProgram ? new FirstAgent(machine, shell) : shell;
  }

  /** Removes the initrd that was made. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isReached) {
      this.#pipe?.owner.close();
      this.#pipe?.[Symbol.dispose]();
    }
    await Deno.remove(this.#initrd);
  }
}

function portOf(pipe: ConsolePipe): DeviceConfig {
  const channel = { type: "fds", ...pipe.fds } as const;
  return { kind: "console", ports: [{ name: PORT_NAME, channel }] };
}

/** The program's path; undefined when it is not wanted, or when there is another agent and no compiler. */
async function programFor(kind: CarriedKind): Promise<string | undefined> {
  if (kind === "sh") return undefined;
  const { compileAgent } = await import("../guest/initramfs/mod.ts");
  try {
    return await compileAgent({ progress: SILENT });
  } catch (error) {
    if (kind === "auto" && error instanceof GuestBuildError) return undefined;
    throw error;
  }
}
