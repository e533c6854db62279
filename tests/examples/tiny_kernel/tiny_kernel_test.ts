/**
 * Tests of the kernel beside this file. Build it as its first comment says, then:
 *
 *     dinovisor test tiny_kernel_test.ts -k kernel.elf
 */
import { assertConsole, bootForTest } from "@dinovisor/dinovisor/testing";

Deno.test("it does what it is told, and switches itself off", async (t) => {
  await using vm = await bootForTest({ memory: "16MiB" });
  await vm.console.waitFor("> ");
  await vm.console.type("hello\n");
  await vm.console.waitFor(/you said: \w+/);
  await vm.console.type("off\n");
  await vm.assertExit(0);
  await assertConsole(t, vm);
});

Deno.test("its failures have a status", async () => {
  await using vm = await bootForTest();
  await vm.console.waitFor("> ");
  await vm.console.type("fail\n");
  await vm.assertExit(3);
});
