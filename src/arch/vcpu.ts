/**
 * The vCPU threads' door to the architecture: what is asked of a processor that runs, no loader. When a second
 * architecture comes, this file picks like `mod.ts`.
 */
export { Pit } from "./x86_64/vcpu_pit.ts";
export { type EmulationFailure, explainEmulationFailure } from "./x86_64/explain.ts";
export {
  describeEmulationFailure,
  noteGuestWasPaused,
  tripleFaultWasReset,
} from "./x86_64/vcpu_running.ts";
