/** The pages of all commands but `run`, whose start people wait for: it comes by itself. */
import { completion } from "./completion.ts";
import { doctor } from "./doctor.ts";
import type { CommandName } from "./flags.ts";
import { help } from "./help.ts";
import { kernelBuild } from "./kernel.ts";
import { kernelCheck } from "./kernel_check.ts";
import { kernelInitrd } from "./kernel_initrd.ts";
import type { Page } from "./main.ts";
import { test } from "./test.ts";
import { version } from "./version.ts";

export const PAGES: Readonly<Record<Exclude<CommandName, "run">, Page>> = {
  "test": test,
  "doctor": doctor,
  "kernel build": kernelBuild,
  "kernel check": kernelCheck,
  "kernel initrd": kernelInitrd,
  "version": version,
  "completion": completion,
  "help": help,
};
