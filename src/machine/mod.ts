/**
 * The machine: config, checks, plan, and the threads that run it.
 * @module
 */
export type { ConsoleConfigMode, Discovery, KernelConfig, MachineConfig } from "./config.ts";
export type {
  BlockConfig,
  ConsoleConfig,
  ConsolePortConfig,
  DeviceConfig,
  NetBackendConfig,
  NetConfig,
  RngConfig,
  StreamConfig,
  SwitchConfig,
  VsockConfig,
} from "../../devices/mod.ts";
export type { DeviceSlot, DiscoveryMethod, RamRange } from "../arch/types.ts";
export type { ChannelConfig, Problem } from "../virtio/device_kind.ts";
export { LIMITS } from "./config.ts";
export type { ExitReason, MachineExit } from "./exit.ts";
export { checkConfig } from "./check.ts";
export { type MachinePlan, planMachine, type PlannedDevice } from "./plan.ts";
export { Machine } from "./machine.ts";
export type {
  BackendFailure,
  MachineEvents,
  MachineOptions,
  MachineStatus,
  TerminalSize,
} from "./machine_options.ts";
export { FrameStream } from "./frame_stream.ts";
export { Switch } from "./switch.ts";
export type {
  VsockAddress,
  VsockConnection,
  VsockListener,
  VsockPort,
  VsockSocketType,
} from "./vsock_host.ts";
export type { DeviceMetrics, MachineMetrics } from "./metrics.ts";
export type { ExitCounts } from "./vcpu_group.ts";
export { MachineError } from "./machine_error.ts";
