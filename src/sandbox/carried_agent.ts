/** The agent for a guest that is not ours: carried in behind its initrd, and reached by what the guest has. */
import type { Machine, MachineConfig } from "../machine/mod.ts";
import type { AgentMachine } from "./agent.ts";

/** Which agents: over vsock. */
export type CarriedKind = "auto" | "vsock";

const SILENT = { stage: () => {}, fraction: () => {} };

/** One of a machine. Dispose it when the machine has been made: it has read the initrd then. */
export class CarriedAgent implements AsyncDisposable {
  /** What the machine is to be, so that its guest has the agent. */
  readonly config: MachineConfig;
  readonly #initrd: string;

  private constructor(config: MachineConfig, initrd: string) {
    this.config = { ...config, kernel: { ...config.kernel, initrd } };
    this.#initrd = initrd;
  }

  /** `config` has an initrd. Rejects with InitramfsError, and GuestBuildError when the agent cannot be compiled. */
  static async into(config: MachineConfig, _kind: CarriedKind): Promise<CarriedAgent> {
    const { initrd = "", cmdline = "" } = config.kernel;
    const { compileAgent, initrdWithAgent } = await import("../guest/initramfs/mod.ts");
    const program = await compileAgent({ progress: SILENT });
    const { bytes, word } = await initrdWithAgent({ initrd, cmdline, program });
    const path = await Deno.makeTempFile({ prefix: "dinovisor-initrd-" });
    await Deno.writeFile(path, bytes);
    const kernel = { ...config.kernel, cmdline: `${cmdline} ${word}`.trim() };
    return new CarriedAgent({ ...config, kernel }, path);
  }

  /** How the agent of `machine` is reached. */
  road(machine: Machine): AgentMachine {
    return machine;
  }

  /** Removes the initrd that was made. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#initrd);
  }
}
