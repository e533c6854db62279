/** What a guest prints, compared with what it printed when somebody last looked. */
import { visible } from "./console_text.ts";
import { GuestFailure } from "./guest_failure.ts";
import type { TestVm } from "./test_vm.ts";

/** How {@linkcode assertConsole} compares. */
export interface ConsoleSnapshotOptions {
  /** Of the snapshot; the name of the test and its steps when left out. */
  readonly name?: string;
  /**
   * Waits for this, and compares what the guest has printed up to there. When left out: waits until the guest has ended, and
   * compares everything.
   */
  readonly until?: string | RegExp;
  /** What differs from run to run, and what stands for it: `[[/^\[ *\d+\.\d+\] /gm, ""]]` for the kernel's times. */
  readonly replace?: readonly (readonly [what: RegExp, by: string])[];
}

/**
 * Fails unless the guest has printed what it printed when the snapshot was made. The snapshot is in `__snapshots__` beside
 * the test file, in the format of `Deno.TestContext.assertSnapshot`; `dinovisor test --update` (`deno test -u`) writes it.
 * Escape sequences and carriage returns are no part of it; other control characters stand there as `\x07`.
 *
 * ```ts ignore
 * import { assertConsole, bootForTest } from "@dinovisor/dinovisor/testing";
 *
 * Deno.test("it boots as it did", async (t) => {
 *   await using vm = await bootForTest();
 *   await assertConsole(t, vm, { until: "> ", replace: [[/\d+ ms/g, "N ms"]] });
 * });
 * ```
 *
 * Rejects with AssertionError, GuestFailure SNAPSHOT_MISSING, and GuestFailure as `waitFor` does.
 */
export async function assertConsole(
  t: Pick<Deno.TestContext, "assertSnapshot">,
  vm: Pick<TestVm, "console" | "ended">,
  { name, until, replace = [] }: ConsoleSnapshotOptions = {},
): Promise<void> {
  if (until === undefined) await vm.ended();
  else await vm.console.waitFor(until);
  const printed = until === undefined ? vm.console.text : vm.console.waitedFor;
  const text = replace.reduce((text, [what, by]) => text.replace(what, by), printed);
  try {
    await t.assertSnapshot(text, {
      serializer: visible,
      ...(name === undefined ? {} : { name }),
    });
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith("Missing snapshot")) throw error;
    const message = "Cannot compare the console: there is no snapshot yet";
    throw new GuestFailure(message, "SNAPSHOT_MISSING", text, {
      hint: "if this is right: dinovisor test --update, and commit __snapshots__",
      cause: error,
    });
  }
}
