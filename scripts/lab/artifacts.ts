/**
 * What tests in the lab find in the cache because there is no network and no time to build it inside: guests are
 * built or downloaded out here first. Called by `scripts/lab.ts`.
 */
import type { BuildProgress } from "../../src/guest/mod.ts";
import { buildTinyGuest } from "../../tests/guest/build.ts";
import { ensureKrunKernel } from "../../tests/support/krun_kernel.ts";
import { ensureToolsImage } from "../../tests/support/tools_image.ts";
import { ROOT } from "./run_disk.ts";

/** Debian's kernels that tests boot. The first one must be there; a suite that is under way may be broken. */
const [STABLE, ...OTHER_SUITES] = ["bookworm", "trixie", "sid"] as const;

/** The words with which a test file asks for a kernel: the default guest's, or all and the image with tools. */
const OURS = /\b(?:linuxTest|guestTest)\(/;
const ALL_KERNELS = /\bguestTest\(/;

/** What is wanted, and who hears of it. */
export interface ArtifactOptions {
  readonly files: readonly string[];
  /** Of Debian's kernels only the stable one. */
  readonly core: boolean;
  readonly stage: (text: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Makes sure that the cache has what the test files want. Without files nothing is built.
 *
 * @throws {GuestBuildError} when something is missing and cannot be built
 */
export async function ensureArtifacts(options: ArtifactOptions): Promise<void> {
  const { files, stage, signal } = options;
  if (files.length === 0) return;
  await buildTinyGuest();
  const texts = await Promise.all(files.map((file) => Deno.readTextFile(`${ROOT}/${file}`)));
  const progress: BuildProgress = {
    stage: (name, detail) => stage(detail === undefined ? name : `${name}: ${detail}`),
    fraction() {},
  };
  const anyHas = (word: RegExp): boolean => texts.some((text) => word.test(text));
  if (anyHas(OURS) && !options.core) {
    const { ensureKernel, ensureRootImage, ensureStockKernel } = await import(
      "../../src/guest/mod.ts"
    );
    await ensureKernel({ progress, signal });
    await ensureRootImage({ progress, signal });
    await ensureStockKernel(STABLE, { progress, signal }); // the lab's default guest
  }
  if (anyHas(ALL_KERNELS)) await ensureStockKernels(options, progress);
}

async function ensureStockKernels(
  { core, stage, signal }: ArtifactOptions,
  progress: BuildProgress,
): Promise<void> {
  const { ensureStockKernel, GuestBuildError } = await import("../../src/guest/mod.ts");
  await ensureToolsImage(stage);
  await ensureStockKernel(STABLE, { progress, signal });
  if (core) return;
  const others = [
    ...OTHER_SUITES.map((suite) => () => ensureStockKernel(suite, { progress, signal })),
    () => ensureKrunKernel({ progress, signal }),
  ];
  for (const ensure of others) {
    try {
      await ensure();
    } catch (error) {
      if (!(error instanceof GuestBuildError)) throw error;
      stage(`without one of the kernels: ${error.message}`);
    }
  }
}
