/**
 * Run things in a microVM as easily as with `Deno.Command`.
 *
 * ```ts
 * import { Vm } from "@dinovisor/dinovisor";
 *
 * await using vm = await Vm.boot();
 * await vm.fs.writeTextFile("/tmp/greeting", "hello\n");
 * console.log(await vm.sh`cat /tmp/greeting`.text());
 * ```
 *
 * @module
 */
export { Vm, type VmStatus } from "./sandbox/vm.ts";
export type { GuestCommandOptions } from "./sandbox/command_options.ts";
export type { DiskInit, NetInit, Ports, VmOptions } from "./sandbox/vm_options.ts";
export type { RootfsInit } from "./sandbox/rootfs_options.ts";
export type { Size } from "./sandbox/size.ts";
export type { ImageConfig } from "./guest/image/config.ts";
export {
  AgentError,
  BootError,
  CommandError,
  ConfigError,
  VmError,
  type VmErrorOptions,
} from "./sandbox/errors.ts";
export type {
  GuestFs,
  GuestReadOptions,
  GuestWatchOptions,
  GuestWriteOptions,
} from "./sandbox/guest_fs.ts";
export type { GuestWatcher } from "./sandbox/guest_watcher.ts";
export type { GuestOutput } from "./sandbox/guest_output.ts";
export type { GuestProcess } from "./sandbox/guest_process.ts";
export type { GuestReadable } from "./sandbox/guest_readable.ts";
export type { ShellCommand } from "./sandbox/shell_command.ts";
export type {
  CardMetrics,
  DiskMetrics,
  MetricsStreamOptions,
  VmMetrics,
} from "./sandbox/vm_metrics.ts";
export type { WaitTarget } from "./sandbox/waiting.ts";
export type { ConsoleSocket, VmConsole } from "./sandbox/vm_console.ts";
export { Switch } from "./machine/mod.ts";
export type { SwitchConfig, VsockConnection, VsockListener } from "./machine/mod.ts";
