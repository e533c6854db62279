/**
 * The machine: config, checks, plan, and the threads that run it.
 * @module
 */
export type { ConsoleConfigMode, Discovery, KernelConfig, MachineConfig } from "./config.ts";
export { LIMITS } from "./config.ts";
export type { ExitReason, MachineExit } from "./exit.ts";
export { checkConfig } from "./check.ts";
export { type MachinePlan, planMachine } from "./plan.ts";
export { Machine, MachineError, type MachineEvents } from "./machine.ts";
