/**
 * Integration tests that boot a kernel.
 *
 * ```ts ignore
 * import { assertConsole, bootForTest } from "@dinovisor/dinovisor/testing";
 *
 * Deno.test("it greets", async (t) => {
 *   await using vm = await bootForTest(); // the kernel that `dinovisor test FILE -k KERNEL` names
 *   await vm.console.waitFor("> ");
 *   await vm.console.type("off\n");
 *   await vm.assertExit(0); // what the guest has written to its exit register, port 0xf4
 *   await assertConsole(t, vm); // as in __snapshots__; written by `dinovisor test --update`
 * });
 * ```
 *
 * @module
 */
export { bootForTest, type TestBootOptions } from "./testing/boot_for_test.ts";
export { TestVm, type TestVmOwner } from "./testing/test_vm.ts";
export { assertConsole, type ConsoleSnapshotOptions } from "./testing/assert_console.ts";
export { GuestFailure } from "./testing/guest_failure.ts";
export { TestConsole } from "./testing/test_console.ts";
// A test may want the rest as well, and all that these have in their signatures.
export * from "./mod.ts";
