/** How the guest is told about its devices: what the user chose, or what its kernel understands best. Called by `plan.ts`. */
import { architecture, type DiscoveryChoice } from "../arch/mod.ts";
import type { MachineConfig } from "./config.ts";
import { kernelContents } from "./kernel_knowledge.ts";

/** Decides for `config` with the command line `cmdline`, which is without device words. What the user chose stands. */
export function decideDiscovery(config: MachineConfig, cmdline: string): DiscoveryChoice {
  if (config.discovery !== "auto") return { method: config.discovery, reason: "asked for" };
  return architecture().chooseDiscovery(kernelContents(config.kernel.image), cmdline);
}

/**
 * What the user should know before the machine starts: its guest will not find its devices, or may not. It looks into
 * the kernel also when the user has chosen, which `decideDiscovery` does not.
 */
export function discoveryWarning(
  config: MachineConfig,
  cmdline: string,
): DiscoveryChoice["warning"] {
  const { discovery } = config;
  if (discovery === "auto") return decideDiscovery(config, cmdline).warning;
  const contents = kernelContents(config.kernel.image);
  const support = architecture().discoverySupport(contents, cmdline);
  const chosen = support.find(({ method }) => method === discovery);
  if (chosen?.works !== "no") return undefined;
  const better = support.find(({ works }) => works === "yes");
  return {
    message: `this kernel will not find its devices by ${discovery}: ${chosen.why}`,
    hint: better === undefined
      ? "use another kernel; dinovisor kernel check tells what one understands"
      : `leave --discovery out, or use --discovery ${better.method}`,
  };
}
