/**
 * The control side's door to the architecture this process runs on, but for what talks to KVM, which is behind `vm.ts`.
 * What a vCPU worker needs is behind `vcpu.ts`, so that its module graph stays small.
 */
import { type Architecture, BootError } from "./types.ts";
import { X86_64 } from "./x86_64/mod.ts";

export * from "./kernel_contents.ts";
export * from "./types.ts";
export { identify, type Identity } from "./identify.ts";

const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map([[X86_64.name, X86_64]]);

/** The architecture called `name` (as `Deno.build.arch` spells it). Throws `BootError` ARCH_UNSUPPORTED. */
export function architecture(name: string = Deno.build.arch): Architecture {
  const found = ARCHITECTURES.get(name);
  if (found !== undefined) return found;
  throw new BootError(
    "ARCH_UNSUPPORTED",
    `Architecture '${name}' is not supported`,
    `run on one of: ${[...ARCHITECTURES.keys()].join(", ")}`,
  );
}
