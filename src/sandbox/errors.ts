/** What goes wrong with a sandbox: few classes, each with a stable `code` and a `hint` where one is known. */
import type { GuestOutput } from "./guest_output.ts";

/** Thrown by everything here. */
export class VmError extends Error {
  /** Its class, for people. */
  override readonly name: string = "VmError";
  /** Stable, for programs. */
  readonly code: string;
  /** What can be done about it. */
  readonly hint?: string;

  /** `options.hint`: what can be done about it. `options.cause`: the error underneath. */
  constructor(message: string, code: string, options: VmErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    if (options.hint !== undefined) this.hint = options.hint;
  }
}

/** What a {@linkcode VmError} may carry. */
export interface VmErrorOptions {
  /** What can be done about it. */
  readonly hint?: string;
  /** The error underneath. */
  readonly cause?: unknown;
}

/** Something in the options of `Vm.boot` cannot be: `field` says which. */
export class ConfigError extends VmError {
  /** Its class, for people. */
  override readonly name: string = "ConfigError";

  /** The option, as it is written in `VmOptions`. */
  readonly field: string;

  /** `field`: the option, as it is written in `VmOptions`. */
  constructor(field: string, message: string, code: string, options?: VmErrorOptions) {
    super(message, code, options);
    this.field = field;
  }
}

/** The guest did not come up. */
export class BootError extends VmError {
  /** Its class, for people. */
  override readonly name: string = "BootError";

  /** What the guest said last. */
  readonly consoleTail: string;

  /** `consoleTail`: what the guest said last. */
  constructor(message: string, code: string, consoleTail: string, options?: VmErrorOptions) {
    super(message, code, options);
    this.consoleTail = consoleTail;
  }
}

/** The guest has no agent, or it has gone, or it does not make sense. */
export class AgentError extends VmError {
  /** Its class, for people. */
  override readonly name: string = "AgentError";
}

/** A command ended with a status other than 0. Thrown by `sh` and `GuestOutput.check` only. */
export class CommandError extends VmError {
  /** Its class, for people. */
  override readonly name: string = "CommandError";

  /** What it printed, and how it ended. */
  readonly output: GuestOutput;

  /** `output`: what the command printed, and how it ended. */
  constructor(message: string, output: GuestOutput) {
    super(message, "COMMAND_FAILED");
    this.output = output;
  }
}
