/** Compiles the guest's first programs: C without a C library, one static file each. */
import type { BuildLog } from "./build_log.ts";

/** linux-libc-dev has the kernel's headers, all that these programs include. */
export const FREESTANDING_PACKAGES: readonly string[] = ["gcc", "linux-libc-dev"];

/** A small program without a C library, in as few pages as possible. */
export const FREESTANDING_FLAGS: readonly string[] = [
  "-std=gnu11",
  "-Os",
  "-static",
  "-nostdlib",
  "-ffreestanding",
  "-fno-stack-protector",
]
  .concat(["-fno-asynchronous-unwind-tables", "-fno-pie", "-no-pie", "-s"])
  .concat(["-Wl,--build-id=none", "-Wl,-z,noseparate-code", "-Wl,-z,norelro"]);

/** Texts by file name; the first one is compiled, the others are its headers. */
export type FreestandingSources = Readonly<Record<string, string>>;

/** Where a program is compiled. */
export interface CompileOptions {
  /** A scratch directory; the sources are written there. */
  readonly directory: string;
  /** Path of the finished program. */
  readonly output: string;
  readonly log: BuildLog;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Compiles a program.
 *
 * @throws {GuestBuildError} when the compiler does not take it
 */
export async function compileFreestanding(
  sources: FreestandingSources,
  { directory, output, log, signal }: CompileOptions,
): Promise<void> {
  for (const [name, text] of Object.entries(sources)) {
    await Deno.writeTextFile(`${directory}/${name}`, text);
  }
  const [program = ""] = Object.keys(sources);
  const command = ["gcc", ...FREESTANDING_FLAGS, "-o", output, program];
  await log.run(command, { directory, signal });
}
